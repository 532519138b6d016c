"""Messages as JSON: proto3 JSON on the way in, and on the way out readable in any debugger.

An object a message, under the field names of `raftsdk.messages`:

- `bytes` are text in standard base64 (RFC 4648 §4) with padding. No other alphabet, no blanks, no missing padding is
  read: this is the form everybody's proto3 JSON is written in, and one spelling for one value keeps texts comparable.
- Integers are numbers up to 2^53-1, the last that a reader who knows only doubles gets right, and decimal text above.
  Both forms are read at any size, because writers of proto3 JSON put every 64-bit integer in quotes.
- Every field is written. One that is absent is zero, because writers of proto3 JSON leave zeros out.

What our own encoder writes is read in one pass and proved to repeat no name by counting. Whatever is put in other words
is read a second time, name by name.
"""

from raftsdk_json.codec import JsonCodec

__all__ = ["JsonCodec"]
