"""Hostile JSON."""

from collections.abc import Iterator
from typing import Final

from raftsdk.messages import MAX_ADDRESSES
from seeds.hostile.seed import APPEND, APPENDED, CHANGE, ERROR, PROPOSE, QUERY, SNAPSHOT, VOTE, VOTED, Seed, filled

_INTEGERS: Final = {
    "NaN": "JSON has no such number",
    "Infinity": "JSON has no such number",
    "1e999": "no integer",
    "1e2": "an integer has digits alone",
    "1.0": "an integer has digits alone",
    "-0.0": "an integer has digits alone",
    "-1": "below zero",
    "01": "a leading zero",
    "+1": "a sign",
    "0x1": "not decimal",
    "true": "a boolean is no integer",
    "null": "null is no value",
    "[1]": "a list is no integer",
    "{}": "an object is no integer",
    '""': "text without digits",
    '"a"': "text without digits",
    '" 1"': "text with a blank",
    '"1 "': "text with a blank",
    '"+1"': "text with a sign",
    '"-1"': "below zero",
    '"01"': "a leading zero",
    '"1.0"': "an integer has digits alone",
    '"1e2"': "an integer has digits alone",
    '"\u0663"': "a digit beyond ASCII",
    str(2**63): "above 2^63-1",
    str(2**64): "above 2^63-1",
    f'"{2**63}"': "above 2^63-1",
    f'"{10**19}"': "above 2^63-1",
}


def seeds() -> Iterator[Seed]:
    """All of them."""
    for value, why in _INTEGERS.items():
        yield Seed(f"{value} as a term", "8.1", APPENDED, f'{{"term":{value},"success":true}}'.encode(), why)
        entry = f'{{"term":7,"leader_id":"n1","entries":[{{"term":7,"kind":{value},"data":""}}]}}'.encode()
        yield Seed(f"{value} as an entry's kind", "8.1", APPEND, entry, why)
    digits = ((b'{"success":true,"term":', 1), (b"9", 5_000), (b"}", 1))
    yield Seed("5,000 digits as a term", "8.1", APPENDED, b"", "above 2^63-1, and costly to turn into a number", digits)
    digits = ((b'{"success":true,"term":"', 1), (b"9", 5_000), (b'"}', 1))
    yield Seed(
        "5,000 digits in quotes as a term",
        "8.1",
        APPENDED,
        b"",
        "above 2^63-1, and costly to turn into a number",
        digits,
    )
    yield from _other_values()
    yield from _names()
    yield from _documents()
    yield from _much()


def _other_values() -> Iterator[Seed]:
    for value in ("1", "0", '"true"', "null", "[]"):
        yield Seed(f"{value} as a boolean", "8.4", VOTED, f'{{"term":1,"vote_granted":{value}}}'.encode(), "no boolean")
    for value, why in {
        "_-8A": "the alphabet of URLs",
        "/+8": "padding is missing",
        "/+8A\\n": "a line break",
        " /+8A": "a blank",
        "A": "six bits make no byte",
        "A===": "six bits make no byte",
        "====": "padding alone",
        "\u00e9===": "a letter beyond ASCII",
        "/+8A=": "too much padding",
    }.items():
        yield Seed(f"{value!a} as bytes", "8.2", PROPOSE, f'{{"command":"{value}"}}'.encode(), why)
    for value in ("1", "null", "[1,2]", "{}"):
        yield Seed(f"{value} as bytes", "8.2", PROPOSE, f'{{"command":{value}}}'.encode(), "bytes are text in base64")
    for name, raw, why in (
        ("a lone surrogate", b'"\\ud800"', "no Unicode scalar value"),
        ("two surrogates the wrong way round", b'"\\udc00\\ud800"', "no Unicode scalar values"),
        ("a surrogate in UTF-8", b'"\xed\xa0\x80"', "no UTF-8"),
        ("a byte that is no UTF-8", b'"\xff"', "no UTF-8"),
        ("an overlong form", b'"\xc0\xaf"', "no UTF-8"),
        ("beyond the last character", b'"\xf4\x90\x80\x80"', "no UTF-8"),
        ("a raw line break", b'"a\nb"', "control characters are escaped in JSON"),
        ("an unknown escape", b'"\\x41"', "JSON has no such escape"),
        ("a number", b"1", "no text"),
        ("null", b"null", "null is no value"),
    ):
        yield Seed(f"{name} as text", "8.3", ERROR, b'{"code":"","message":' + raw + b"}", why)
    for value in ("linear", "Local", "local "):
        text = f'{{"query":"","consistency":"{value}"}}'.encode()
        yield Seed(f"consistency {value!a}", "8.9", QUERY, text, "no value of a closed enumeration")
    king = (
        b'{"term":7,"leader_id":"n1","last_included_index":1,"last_included_term":1,"digest":"' + b"A" * 43 + b'=",'
        b'"membership":{"members":[{"id":"n1","suffrage":"king"}]}}'
    )
    yield Seed("suffrage 'king'", "8.9", SNAPSHOT, king, "no value of a closed enumeration")
    for value in ("{}", "1", "null", '"x"', "[[]]", "[1]", "[null]"):
        batch = f'{{"term":7,"leader_id":"n1","entries":{value}}}'.encode()
        yield Seed(f"{value} as entries", "8.5", APPEND, batch, "no list of entries")


def _names() -> Iterator[Seed]:
    why = "a name occurs twice in one object"
    for name, text in {
        "a term twice": '{"term":1,"success":true,"term":2}',
        "the same term twice": '{"term":1,"success":true,"term":1}',
        "a term as text and as a number": '{"term":"1","success":true,"term":1}',
        "a term twice, once with an escape": '{"term":1,"success":true,"t\\u0065rm":1}',
        "an unknown name twice": '{"new":1,"new":2,"term":1,"success":true}',
        "a name twice inside an unknown field": '{"new":[{"a":1,"a":1}],"term":1,"success":true}',
    }.items():
        yield Seed(name, "8.8", APPENDED, text.encode(), why)
    for name, entries in {
        "an entry's data twice": '{"term":7,"kind":1,"data":"","data":"eA=="}',
        "the kind of the second entry twice": '{"term":7,"kind":1,"data":""},{"term":7,"kind":1,"kind":1,"data":""}',
        "the entries twice": '{"term":7,"kind":1,"data":""}],"entries":[',
    }.items():
        yield Seed(name, "8.8", APPEND, f'{{"term":7,"leader_id":"n1","entries":[{entries}]}}'.encode(), why)
    for name, text in {
        "a command twice, and a field less": '{"command":"eA==","command":"eQ==","session_id":0,"sequence":0}',
        "a command twice, and a name that ends like a field": (
            '{"command":"eA==","command":"eQ==","session_id":0,"sequence":0,"a\\"first_unanswered":0}'
        ),
        "a sequence twice": '{"command":"eA==","session_id":1,"sequence":1,"sequence":2}',
    }.items():
        yield Seed(name, "8.8", PROPOSE, text.encode(), why)
    member = '{"members":[{"id":"n1","incarnation":1,"incarnation":2}]}'
    yield Seed("a member's incarnation twice", "8.8", CHANGE, member.encode(), why)


def _documents() -> Iterator[Seed]:
    honest = b'{"term":1,"success":true}'
    for name, text, why in (
        ("nothing", b"", "no document"),
        ("a blank", b" ", "no document"),
        ("null", b"null", "no object"),
        ("a list", b"[]", "no object"),
        ("a number", b"1", "no object"),
        ("text", b'"{}"', "no object"),
        ("an open brace", b"{", "cut short"),
        ("cut before the last brace", honest[:-1], "cut short"),
        ("a comma before the last brace", honest[:-1] + b",}", "JSON has no such commas"),
        ("a name without quotes", b"{term:1}", "names are text"),
        ("single quotes", b"{'term':1}", "text has double quotes"),
        ("a comment", b'{"term":1/* one */,"success":true}', "JSON has no comments"),
        ("NaN in an unknown field", b'{"term":1,"success":true,"new":NaN}', "JSON has no such number"),
        ("a byte that is no UTF-8 in an unknown field", b'{"term":1,"success":true,"new":"\xff"}', "no UTF-8"),
        ("a byte that is no UTF-8 in an unknown name", b'{"term":1,"success":true,"\xff":1}', "no UTF-8"),
        ("a byte order mark", b"\xef\xbb\xbf" + honest, "none is allowed"),
        ("UTF-16", honest.decode().encode("utf-16-le"), "no UTF-8"),
        ("64 zero bytes", bytes(64), "no document"),
    ):
        yield Seed(name, "11.2", APPENDED, text, why)
    for name, text in {
        "a letter": honest + b"x",
        "a second message": honest * 2,
        "a zero byte": honest + b"\x00",
    }.items():
        yield Seed(f"{name} behind the end", "8.8", APPENDED, text, "nothing comes behind the end")


def _much() -> Iterator[Seed]:
    for depth in (5_000, 100_000):
        for name, opening, closing in (("lists", b"[", b"]"), ("objects", b'{"a":', b"}")):
            nested = (opening, depth), (b"0", 1), (closing, depth)
            yield Seed(
                f"{depth:,} {name} deep as a term",
                "11.1",
                APPENDED,
                b"",
                "no integer; and no stack may overflow on the way to it",
                ((b'{"term":', 1), *nested, (b',"success":true}', 1)),
            )
        yield Seed(f"{depth:,} opening brackets", "11.1", APPENDED, b"", "cut short", ((b"[", depth),))
    why = "the last byte is wrong, and what is before it may cost no more than 8.5 allows"
    begin = b'{"term":1,"success":true,"new":['
    for name, item, end in (
        ("empty lists", b"[],", b"[]]}!"),
        ("empty objects", b"{},", b"{}]}!"),
        ("small numbers", b"257,", b"1]}!"),
        ("short texts", b'"ab",', b'""]}!'),
    ):
        yield Seed(f"a megabyte of {name} in an unknown field", "8.5", APPENDED, b"", why, filled(begin, item, end))
    entry = b'{"term":7,"kind":1,"data":""},'
    batch = filled(b'{"term":7,"leader_id":"n1","entries":[', entry, entry[:-1] + b"]}")
    yield Seed("a megabyte of the smallest entries", "8.5", APPEND, b"", "more than 8,192", batch)
    addresses = filled(b'{"code":"","leader_addresses":[', b'"ab",', b'"ab"]}')
    yield Seed("a megabyte of addresses", "8.5", ERROR, b"", f"more than {MAX_ADDRESSES}", addresses)
    digits = filled(b'{"success":true,"term":', b"9", b"}")
    yield Seed("a megabyte of digits", "8.5", APPENDED, b"", "above 2^63-1", digits)
    candidate = filled(b'{"term":1,"candidate_id":"', b"a", b'"}')
    yield Seed("a megabyte of id", "6.1", VOTE, b"", "an id has at most 128 characters", candidate)
