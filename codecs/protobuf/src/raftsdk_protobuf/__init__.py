"""Messages as protobuf, for which every language has a library. `raft.proto` in this package is the schema.

The library (`protobuf`, upb inside) writes and reads. Around it stand what it would let pass (`bounds`), what makes
records of its objects (`records`), and a shorter way for the one message of which there are many (`batches`).

Roads not taken, with what was measured for 64 entries of 256 bytes:

- *Entries as three columns* take half the time, both ways. But they are no schema to hand to other languages, and their
  proto3 JSON is not the JSON on our wire, which with `repeated Entry` it is.
- *Enumerations of the schema* would be numbers here and texts in every other codec, and again other JSON.
- *Entries read by hand*, with what they have in common skipped, take half as long again as the library.
- *Entries written by hand*, with a table of varints, save a fifth where their lengths differ. Where they do not, that
  takes twice as long as to join them by what stands before their data.
"""

from raftsdk_protobuf.codec import ProtobufCodec

__all__ = ["ProtobufCodec"]
