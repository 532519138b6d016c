"""Vectors never change, and say what they are said to say."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raftsdk import plugins
from raftsdk.checks import check
from raftsdk.config import CODECS
from raftsdk.errors import WireError
from raftsdk.messages import MessageKind
from raftsdk.testing.conformance import vectors
from raftsdk.testing.conformance.clauses import TITLES
from raftsdk.testing.conformance.values import canonical, message_of
from raftsdk.types import Identity
from raftsdk.wire.frame import parse_frame
from raftsdk.wire.hello import HelloRefused, ProtocolRange, Terms, decode_hello, encode_hello, negotiate
from raftsdk.wire.packing import pack, unpack

SPEC = Path(__file__).parents[2] / "spec"
INSTALLED = plugins.names()[CODECS]
MAX_FRAME_BYTES = 8 * 1024 * 1024


def make_vectors(*arguments: str, spec: Path = SPEC) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(spec / "make_vectors.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


# -- the guard


def test_no_vector_is_missing_and_none_was_changed() -> None:
    done = make_vectors("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 parts of vectors are missing\n", "")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(SPEC, tmp_path / "spec"))


def edit(path: Path, change: Any) -> None:
    file = json.loads(path.read_text(encoding="utf-8"))
    change(file["vectors"])
    path.write_text(json.dumps(file), encoding="utf-8")


VOTED = "messages/request_vote_response.json"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (VOTED, lambda found: found[0]["bytes"].update(json="7b7d"), "json reads its bytes as"),
        (VOTED, lambda found: found[0]["bytes"].update(msgpack="80"), "msgpack reads its bytes as"),
        (VOTED, lambda found: found[0]["message"].update(term=9), "is not what its vector says"),
        (VOTED, lambda found: found[0].update(clause="9.4"), "is not what its vector says"),
        (
            VOTED,
            lambda found: found[0]["bytes"].update(json=b'{"vote_granted":true,"term":8}'.hex()),
            f"{VOTED} json ordinary: was changed, and a vector never changes",
        ),
        (
            VOTED,
            lambda found: next(v for v in found if v["name"] == "sample 1").update(name="another name"),
            "is gone, and a vector never changes",
        ),
        ("hostile/json.json", lambda found: found[0].update(bytes="7b7d"), "is not what its vector says"),
        ("frames.json", lambda found: found[0].update(bytes="00"), "is not what its vector says"),
        ("packed.json", lambda found: found[0]["messages"].pop(), "is not what its vector says"),
        ("hellos.json", lambda found: found[0].update(hello="{}"), "is not what its vector says"),
    ],
)
def test_a_changed_vector_is_refused_and_nothing_is_written(spec: Path, file: str, change: Any, said: str) -> None:
    edit(spec / "vectors" / file, change)
    before = (spec / "vectors" / file).read_bytes()
    for arguments in ([], ["--check"]):
        done = make_vectors(*arguments, spec=spec)
        assert done.returncode == 1
        assert said in done.stderr
    assert (spec / "vectors" / file).read_bytes() == before


def test_what_is_missing_is_added_and_nothing_else_touched(spec: Path) -> None:
    edit(spec / "vectors" / VOTED, lambda found: found.pop(3))
    assert make_vectors("--check", spec=spec).returncode == 1
    assert make_vectors(spec=spec).returncode == 0
    edited, original = (json.loads((folder / "vectors" / VOTED).read_text())["vectors"] for folder in (spec, SPEC))
    assert sorted(edited, key=str) == sorted(original, key=str)
    assert (spec / "vectors" / "MANIFEST").read_bytes() == (SPEC / "vectors" / "MANIFEST").read_bytes()


def test_bytes_of_another_codec_are_an_addition(spec: Path) -> None:
    lines = (spec / "vectors" / "MANIFEST").read_text().splitlines()
    for path in (spec / "vectors" / "messages").iterdir():
        edit(path, _take_bytes_of_capnp)
    (spec / "vectors" / "MANIFEST").write_text("".join(f"{line}\n" for line in lines if " capnp " not in line))
    assert make_vectors(spec=spec).returncode == 0
    added = (spec / "vectors" / "MANIFEST").read_text().splitlines()
    # The names of all parts; not their digests: fields were added since some of the bytes were written.
    assert sorted(line.partition(" ")[2] for line in added) == sorted(line.partition(" ")[2] for line in lines)
    for path in (spec / "vectors" / "messages").iterdir():
        found, original = (json.loads(file.read_bytes()) for file in (path, SPEC / "vectors" / "messages" / path.name))
        assert all(_take_bytes_of_capnp(file["vectors"]) for file in (found, original))
        assert found == original


def _take_bytes_of_capnp(found: list[dict[str, Any]]) -> list[str]:
    return [vector["bytes"].pop("capnp") for vector in found]


# -- what they are


def test_every_kind_has_vectors_with_bytes_in_every_codec_and_all_are_messages_of_honest_nodes() -> None:
    found = vectors.messages()
    assert {vector.kind for vector in found} == set(MessageKind)
    for vector in found:
        check(vector.message)
        assert vector.data.keys() == set(INSTALLED)
        assert message_of(vector.kind, canonical(vector.message)) == vector.message


def test_a_vector_lacks_the_fields_that_are_younger_than_it_and_no_others() -> None:
    (old,) = (v for v in vectors.messages() if v.title == "request_vote_request/ordinary")
    plain = canonical(old.message)
    assert plain.pop("leadership_transfer") is False
    assert message_of(old.kind, plain) == old.message
    assert message_of(old.kind, {name: plain[name] for name in list(plain)[:4]}) != old.message
    for wrong in ({"term": 1, "last_log_index": 0}, plain | {"new": 1}, plain | {"term": str(plain["term"])}):
        with pytest.raises(ValueError, match=r"not the canonical JSON|missing required field"):
            message_of(old.kind, wrong)


@pytest.mark.parametrize("codec", INSTALLED)
def test_every_codec_has_hostile_vectors_that_say_why(codec: str) -> None:
    found = vectors.hostile(codec)
    assert len(found) > 100
    assert all(vector.why for vector in found)


def test_a_codec_that_nobody_knows_has_no_hostile_vectors_and_no_path_leads_to_any() -> None:
    assert vectors.hostile("cbor") == ()
    assert vectors.hostile("../hostile/json") == ()


def test_names_are_unique_within_a_file_and_clauses_are_those_of_the_specification() -> None:
    groups: list[list[tuple[str, str]]] = [
        *([(v.name, v.clause) for v in vectors.messages() if v.kind is kind] for kind in MessageKind),
        *([(v.name, v.clause) for v in vectors.hostile(codec)] for codec in INSTALLED),
        [(v.name, v.clause) for v in vectors.frames()],
        [(v.name, v.clause) for v in vectors.packs()],
        [(v.name, v.clause) for v in vectors.hellos()],
    ]
    for group in groups:
        assert [name for name, count in Counter(name for name, _ in group).items() if count > 1] == []
        assert {clause for _, clause in group} <= TITLES.keys()


@pytest.mark.parametrize("vector", vectors.frames(), ids=lambda vector: vector.name)
def test_a_frame_is_read_as_it_says_or_refused_for_its_reason(vector: vectors.FrameVector) -> None:
    data = bytes.fromhex(vector.bytes)
    assert bool(vector.frame) != bool(vector.violation)
    if vector.frame:
        frame = parse_frame(data)
        shown = (frame.kind, frame.flags, frame.call_id, bytes(frame.body).hex())
        assert shown == (vector.frame.kind, vector.frame.flags, vector.frame.call_id, vector.frame.body)
    elif vector.violation == "oversize":
        assert int.from_bytes(data[:4]) > MAX_FRAME_BYTES
    else:
        with pytest.raises(WireError) as caught:
            parse_frame(data)
        assert caught.value.reason == vector.violation


@pytest.mark.parametrize("vector", vectors.packs(), ids=lambda vector: vector.name)
def test_a_packed_frame_stands_for_the_messages_it_says_or_is_refused_for_its_reason(
    vector: vectors.PackVector,
) -> None:
    frame = parse_frame(bytes.fromhex(vector.bytes), MAX_FRAME_BYTES, groups=True, packing=True)
    assert bool(vector.messages) != bool(vector.violation)
    if vector.violation:
        with pytest.raises(WireError) as caught:
            unpack(frame)
        assert caught.value.reason == vector.violation
        return
    found = unpack(frame)
    shown = [(each.kind, each.flags, each.call_id, bytes(each.body).hex(), each.group) for each in found]
    assert shown == [(each.kind, each.flags, each.call_id, each.body, each.group) for each in vector.messages]


def test_a_packed_frame_of_the_vectors_is_what_we_write_of_its_messages() -> None:
    for vector in vectors.packs():
        if len(vector.messages) > 1:
            messages = [(m.kind, m.flags, m.call_id, bytes.fromhex(m.body), None, m.group) for m in vector.messages]
            assert [data.hex() for data in pack(messages, MAX_FRAME_BYTES)] == [vector.bytes]


@pytest.mark.parametrize("vector", vectors.hellos(), ids=lambda vector: vector.name)
def test_a_hello_is_answered_as_it_says_or_refused_for_its_reason(vector: vectors.HelloVector) -> None:
    node = vector.node
    terms = Terms(
        identity=Identity(cluster_id=node["cluster_id"], node_id=node["node_id"]),
        codecs=tuple(node["codecs"]),
        max_frame_bytes=node["max_frame_bytes"],
        idle_timeout_ms=node["idle_timeout_ms"],
        protocol=ProtocolRange(**node["protocol"]),
        features=tuple(node["features"]),
    )
    body = memoryview(vector.hello.encode())
    if vector.answer is None:
        with pytest.raises(WireError) as caught:
            decode_hello(body)
        assert caught.value.reason == vector.violation
        return
    answer = negotiate(decode_hello(body), terms)
    told = json.loads(encode_hello(answer))
    if isinstance(answer, HelloRefused):
        del told["message"]
    assert told == vector.answer


def test_a_long_hostile_vector_is_as_long_as_its_parts_say() -> None:
    (vector,) = (v for v in vectors.hostile("json") if v.name == "100,000 opening brackets")
    assert vector.data == b"[" * 100_000
