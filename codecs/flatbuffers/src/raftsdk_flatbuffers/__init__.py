"""Messages as FlatBuffers, by the schema raft.fbs beside this file.

One size-prefixed buffer a message. The entries of an AppendEntriesRequest are a vector of fixed structs and one vector
with the data of all; everything else is a table a record, strings, and vectors of either. Both ways are our own code,
a few lines for each of the format's few shapes; what they are compared with is the `flatbuffers` package and `flatc`.

Decided here:

- *Size-prefixed*, because a bare FlatBuffer does not know where it ends: a reader sees what is pointed to, and cannot
  tell bytes after the end from those of a newer peer's fields. With the prefix it is one comparison, the one that C++'s
  verifier makes of such buffers; every library has `FinishSizePrefixed` under some spelling.
- *Fields at zero are written too*. All tables of one type then begin with the same bytes, and are packed at once.

Roads not taken:

- *The `flatbuffers` package* when writing. Its `Builder` takes two and a half times as long for a batch of 64 entries
  as this writer, and four times for a small answer. For reading it is of no use at all: it checks nothing.
- *Generated code*. It reads through the same unchecked accessors, and the slots follow from `raftsdk.messages` as well
  as from raft.fbs; a test holds the two together.
- *A table for each entry* takes thirty times as long. The price of structs is that they never get another field: what
  is ever to be said of entries beside term, kind and data will be another vector of the message.
"""

from raftsdk_flatbuffers.codec import FlatbuffersCodec

__all__ = ["FlatbuffersCodec"]
