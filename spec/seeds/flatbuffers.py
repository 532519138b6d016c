"""The wire format of FlatBuffers, as far as seeds need it."""

from struct import pack


def table(*fields: bytes, behind: bytes = b"") -> bytes:
    """A buffer whose root has these fields, of four or eight bytes each, one after the other; and then `behind`."""
    places, place = [], 4
    for field in fields:
        places.append(place if field else 0)
        place += len(field)
    vtable = pack(f"<{2 + len(places)}H", 4 + 2 * len(places), place, *places)
    table = pack("<i", len(vtable)) + b"".join(fields)
    buffer = pack("<I", 4 + len(vtable)) + vtable + table + behind
    return pack("<I", len(buffer)) + buffer
