"""Messages as MessagePack, the fastest of the codecs.

A map a message, from the field names of `raftsdk.messages` to values: `bytes` are `bin`, text is `str`, integers are of
any integer format on the way in and of the shortest on the way out; nothing is a `float` or an extension. Members and
peers are maps too. Every field is written, and read as zero when it is absent.

Entries are columns: an array of their terms, one of their kinds, one of their payloads. A column in which all are the
same may have one item instead, and ours then does.

Roads not taken:

- *A map for each entry* takes a quarter longer, because each has to be looked through for names that occur twice, and
  26 bytes more an entry.
- *The `msgpack` package* builds whatever the bytes say before anybody can look at types: a megabyte of empty arrays
  becomes 69. It takes a few times as long, too. It is the independent reader in this codec's tests.
"""

from raftsdk_msgpack.codec import MsgpackCodec

__all__ = ["MsgpackCodec"]
