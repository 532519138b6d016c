"""Texts of strangers, judged as bytes before they are a `str`."""

from raftsdk.messages import MAX_TEXT_BYTES


class Texts:
    """The texts of one message, as they are read, together no longer than `MAX_TEXT_BYTES`.

    Python stores all characters of a text as wide as the widest: a megabyte of letters with one emoji would become
    four, and six while it is made.

    >>> Texts().decode(b"n1" + bytes(1))
    'n1'
    """

    _total_bytes = 0

    def decode(self, data: bytes) -> str:
        """The text in `data`, whose last byte is zero. Raises `ValueError`."""
        if not data:  # a null pointer
            return ""
        if data[-1]:
            raise ValueError("a text that does not end with a zero byte")
        self._total_bytes += len(data) - 1
        if self._total_bytes > MAX_TEXT_BYTES:
            raise ValueError(f"the texts of a message have at most {MAX_TEXT_BYTES} bytes, and these have more")
        return data[:-1].decode()
