"""Messages in Cap'n Proto: `raft.capnp` beside this file, in the standard framing for streams.

What makes it safe to read what strangers wrote:

- The table of segments has to account for every byte; the library would ignore what comes after.
- As much may be read as the message is long, counted by the library. So pointers that share bytes, and lists whose
  items take none, lead to no more than was sent. Every field is therefore read once, into objects of our own.
- Lists are counted before an item is looked at.
- Texts are read as bytes, through a twin of the schema, and counted before they become a `str`.

Roads not taken, with what the README's table says of them:

- *A list of structs* for the entries: an object in Python for each, four times the time.
- *One payload and the lengths of its pieces*: joining and cutting cost more than a pointer a piece.
- *Integers packed into `Data`*: quicker than lists of integers, and no other language would thank us. Nearly every
  batch is of one term and one kind, and writing those once is quicker still.
"""

from raftsdk_capnp.codec import CapnpCodec

__all__ = ["CapnpCodec"]
