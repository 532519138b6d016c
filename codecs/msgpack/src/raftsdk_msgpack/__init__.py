"""Messages as MessagePack, the fastest of the codecs.

A map a message, from the field names of `raftsdk.messages` to values: `bytes` are `bin`, text is `str`, integers are of
any integer format on the way in and of the shortest on the way out; nothing is a `float` or an extension. Entries and
peers are maps too. Every field is written, those at their default as well.

Roads not taken, with what `bench/codecs.py` says of them:

- *Entries as three columns* (terms, kinds, payloads) save a tenth of the time and a sixteenth of the bytes. But a
  hostile entry is then ten bytes long instead of twenty-six while its object in memory is as large as ever, 140 bytes;
  as maps, names and all, what is decoded stays within a small multiple of what was sent.
- *The `msgpack` package* takes three and a half times as long for the same bytes and duties, and a third longer where
  both do columns. Besides, it builds whatever the bytes say before anybody can look at types: a megabyte of empty
  arrays becomes 69. It is the independent reader in this codec's tests.
"""

from raftsdk_msgpack.codec import MsgpackCodec

__all__ = ["MsgpackCodec"]
