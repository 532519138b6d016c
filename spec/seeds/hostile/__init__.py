"""Bytes that must be refused: chosen by hand in the format of a codec, or what it writes of a dishonest message."""

from typing import Final

from seeds.hostile import in_capnp, in_flatbuffers, in_json, in_msgpack, in_protobuf
from seeds.hostile.dishonest import messages as dishonest_messages
from seeds.hostile.seed import Parts, Seed

SEEDS: Final[dict[str, list[Seed]]] = {
    "json": [*in_json.seeds()],
    "msgpack": [*in_msgpack.seeds()],
    "protobuf": [*in_protobuf.seeds()],
    "capnp": [*in_capnp.seeds()],
    "flatbuffers": [*in_flatbuffers.seeds()],
}

__all__ = ["SEEDS", "Parts", "Seed", "dishonest_messages"]
