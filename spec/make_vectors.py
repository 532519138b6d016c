"""Writes the vectors beside this file that are missing, and never changes one that is there.

    python spec/make_vectors.py            writes what is missing
    python spec/make_vectors.py --check    writes nothing, and fails when something is missing

Golden bytes are those of the installed codecs, as far as each reads them back; a codec that is installed later is added
to the vectors there are. `vectors/MANIFEST` has a line for every part of every vector. Its lines are only ever added
to: where one no longer fits its vector, this refuses to do anything.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

from seeds import by_hand, frames, hellos, hostile, messages, packs

from raftsdk import plugins
from raftsdk.config.rules import CODECS
from raftsdk.errors import ConfigError, DecodeError, WireError
from raftsdk.messages import MESSAGE_KINDS, Message, MessageKind
from raftsdk.ports.codec import Codec
from raftsdk.testing.conformance.values import canonical, message_of
from raftsdk.types import Identity
from raftsdk.wire.frame import Frame, parse_frame
from raftsdk.wire.hello import HelloRefused, ProtocolRange, Terms, decode_hello, encode_hello, negotiate
from raftsdk.wire.packing import unpack

FOLDER: Final = Path(__file__).with_name("vectors")
MANIFEST: Final = FOLDER / "MANIFEST"
MAX_FRAME_BYTES: Final = 8_388_608

Vector: TypeAlias = dict[str, Any]
File: TypeAlias = dict[str, Any]


class Changed(Exception):
    """A vector is not what it was, or a seed is not what its vector says."""


# -- messages


def message_files(codecs: dict[str, Codec]) -> Iterator[tuple[Path, File]]:
    """Each file of messages, with what it lacked."""
    seeds = [*messages.seeds(), *by_hand.seeds()]
    for kind in MessageKind:
        path = FOLDER / "messages" / f"{kind.name.lower()}.json"
        file = _read(path) or {"kind": kind.name.lower(), "vectors": []}
        for seed in seeds:
            if MESSAGE_KINDS[type(seed.message)] is kind:
                _add_message(file["vectors"], seed)
        for vector in file["vectors"]:
            _add_bytes(vector, kind, codecs)
        yield path, file


def _add_message(vectors: list[Vector], seed: messages.Seed) -> None:
    message = canonical(seed.message)
    if not seed.name:
        if all(_message(vector, seed) != seed.message for vector in vectors):
            samples = sum(vector["name"].startswith("sample ") for vector in vectors)
            vectors.append(_vector(f"sample {samples + 1}", seed, message))
        return
    found = next((vector for vector in vectors if vector["name"] == seed.name), None)
    if found is None:
        vectors.append(_vector(seed.name, seed, message))
    elif (found["clause"], _message(found, seed)) != (seed.clause, seed.message):
        raise Changed(f"{type(seed.message).__name__}, {seed.name}: the seed is not what its vector says")
    else:
        _keep_by_hand(found, seed)


def _message(vector: Vector, seed: messages.Seed) -> Message:
    """What the vector says, of the seed's kind: fields that are younger than the vector are zero."""
    return message_of(MESSAGE_KINDS[type(seed.message)], vector["message"])


def _vector(name: str, seed: messages.Seed, message: dict[str, Any]) -> Vector:
    return {
        "name": name,
        "clause": seed.clause,
        "message": message,
        "bytes": {codec: data.hex() for codec, data in seed.data.items()},
    }


def _keep_by_hand(vector: Vector, seed: messages.Seed) -> None:
    for codec, data in seed.data.items():
        if vector["bytes"].setdefault(codec, data.hex()) != data.hex():
            raise Changed(f"{type(seed.message).__name__}, {seed.name}: the seed has other bytes in {codec}")


def _add_bytes(vector: Vector, kind: MessageKind, codecs: dict[str, Codec]) -> None:
    """Add the bytes of codecs that the vector lacks; see that every codec reads what is there."""
    message = message_of(kind, vector["message"])
    for name, codec in codecs.items():
        data = vector["bytes"].setdefault(name, codec.encode(message).hex())
        try:
            back = codec.decode(kind, bytes.fromhex(data))
        except DecodeError as error:
            raise Changed(f"{kind.name}, {vector['name']}: {name} refuses its bytes: {error}") from error
        if repr(back) != repr(message):
            raise Changed(f"{kind.name}, {vector['name']}: {name} reads its bytes as {back!r:.300}")
    vector["bytes"] = dict(sorted(vector["bytes"].items(), key=lambda item: _PLACES.get(item[0], len(_PLACES))))


_PLACES: Final = {name: place for place, name in enumerate(("json", "msgpack", "protobuf", "capnp", "flatbuffers"))}


# -- what must be refused


def hostile_files(codecs: dict[str, Codec]) -> Iterator[tuple[Path, File]]:
    """Each file of hostile bytes, with what it lacked."""
    for name in sorted({*hostile.SEEDS, *codecs}):
        path = FOLDER / "hostile" / f"{name}.json"
        file = _read(path) or {"codec": name, "vectors": []}
        for seed in hostile.SEEDS.get(name, ()):
            _add(file["vectors"], _hostile_vector(seed))
        if name in codecs:
            _add_dishonest(file["vectors"], codecs[name])
            for vector in file["vectors"]:
                _expect_refusal(codecs[name], vector)
        yield path, file


def _hostile_vector(seed: hostile.Seed) -> Vector:
    vector: Vector = {"name": seed.name, "clause": seed.clause, "kind": seed.kind.name.lower(), "why": seed.why}
    if any(times > 1 for _, times in seed.parts):
        return vector | {"parts": [[piece.hex(), times] for piece, times in seed.parts if piece]}
    return vector | {"bytes": (seed.data + b"".join(piece for piece, _ in seed.parts)).hex()}


def _add_dishonest(vectors: list[Vector], codec: Codec) -> None:
    """Add what the codec itself writes of dishonest messages, as far as its format can say them."""
    names = {vector["name"] for vector in vectors}
    for message in hostile.dishonest_messages():
        kind = MESSAGE_KINDS[type(message.message)]
        name = f"{kind.name.lower()}: {message.name}"
        if name in names:
            continue
        try:
            data = codec.encode(message.message)
        except Exception:  # noqa: S112 - beyond the format, and `encode` promises nothing about it
            continue
        vectors.append(_hostile_vector(hostile.Seed(name, message.clause, kind, b"", message.why, _parts_of(data))))


_DULL: Final = re.compile(rb"(.{1,64}?)\1{100,}", re.DOTALL)


def _parts_of(data: bytes) -> hostile.Parts:
    """`data`, with a piece that is repeated a hundred times and more written once."""
    found = _DULL.search(data)
    if not found:
        return ((data, 1),)
    piece, times = found[1], len(found[0]) // len(found[1])
    return (data[: found.start()], 1), (piece, times), (data[found.end() :], 1)


def _expect_refusal(codec: Codec, vector: Vector) -> None:
    data = bytes.fromhex(vector.get("bytes", ""))
    data += b"".join(bytes.fromhex(piece) * times for piece, times in vector.get("parts", ()))
    try:
        message = codec.decode(MessageKind[vector["kind"].upper()], data)
    except DecodeError:
        return
    raise Changed(f"{codec.name}, {vector['name']}: read as {message!r:.300}")


# -- frames, packed ones, and hellos


def frame_file() -> tuple[Path, File]:
    """The frames, with what was lacking."""
    path = FOLDER / "frames.json"
    file = _read(path) or {"vectors": []}
    for seed in frames.seeds():
        vector: Vector = {"name": seed.name, "clause": seed.clause, "bytes": seed.data.hex(), **_judged(seed.data)}
        if vector.get("violation", "") != seed.violation:
            raise Changed(f"the frame {seed.name!a} is judged as {vector.get('violation', 'a frame')!a}")
        _add(file["vectors"], vector)
    return path, file


def _judged(data: bytes) -> Vector:
    """What a receiver with the default limits makes of `data`."""
    if int.from_bytes(data[:4]) > MAX_FRAME_BYTES:
        return {"violation": "oversize"}
    try:
        frame = parse_frame(data)
    except WireError as error:
        return {"violation": error.reason}
    return {"frame": _frame_parts(frame)}


def _frame_parts(frame: Frame) -> Vector:
    return {"kind": frame.kind, "flags": frame.flags, "call_id": frame.call_id, "body": bytes(frame.body).hex()}


def pack_file() -> tuple[Path, File]:
    """The frames that may be packed, with what was lacking."""
    path = FOLDER / "packed.json"
    file = _read(path) or {"vectors": []}
    for seed in packs.seeds():
        vector: Vector = {"name": seed.name, "clause": seed.clause, "bytes": seed.data.hex(), **_unpacked(seed.data)}
        if vector.get("violation", "") != seed.violation:
            raise Changed(f"the frame {seed.name!a} is judged as {vector.get('violation', 'a pack')!a}")
        _add(file["vectors"], vector)
    return path, file


def _unpacked(data: bytes) -> Vector:
    """What a receiver makes of `data` where packing is agreed on, and groups are."""
    frame = parse_frame(data, MAX_FRAME_BYTES, groups=True, packing=True)
    try:
        messages = unpack(frame)
    except WireError as error:
        return {"violation": error.reason}
    group = {"group": frame.group} if frame.group else {}
    return {"messages": [_frame_parts(message) | group for message in messages]}


def hello_file() -> tuple[Path, File]:
    """The hellos, with what was lacking."""
    path = FOLDER / "hellos.json"
    file = _read(path) or {"vectors": []}
    for seed in hellos.seeds():
        judged = _answered(seed)
        _add(
            file["vectors"],
            {"name": seed.name, "clause": seed.clause, "node": seed.node, "hello": seed.hello, **judged},
        )
    return path, file


def _answered(seed: hellos.Seed) -> Vector:
    node = seed.node
    terms = Terms(
        identity=Identity(cluster_id=node["cluster_id"], node_id=node["node_id"]),
        codecs=tuple(node["codecs"]),
        max_frame_bytes=node["max_frame_bytes"],
        idle_timeout_ms=node["idle_timeout_ms"],
        protocol=ProtocolRange(**node["protocol"]),
        features=tuple(node["features"]),
    )
    try:
        answer = negotiate(decode_hello(memoryview(seed.hello.encode())), terms)
    except WireError as error:
        return {"violation": error.reason}
    told = json.loads(encode_hello(answer))
    if isinstance(answer, HelloRefused):
        del told["message"]  # for people: another implementation has other words
    return {"answer": told}


# -- files


def _add(vectors: list[Vector], vector: Vector) -> None:
    found = next((other for other in vectors if other["name"] == vector["name"]), None)
    if found is None:
        vectors.append(vector)
    elif found != vector:
        raise Changed(f"{vector['name']}: the seed is not what its vector says")


def _read(path: Path) -> File | None:
    if not path.exists():
        return None
    file: File = json.loads(path.read_text(encoding="utf-8"))
    return file


def _text(file: File) -> str:
    """One line a vector, so that a change that adds one shows as one line."""
    head = json.dumps({name: value for name, value in file.items() if name != "vectors"})[1:-1]
    lines = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in file["vectors"])
    return f'{{{head + ", " if head else ""}"vectors": [\n{lines}\n]}}\n'


def manifest(files: Iterable[tuple[Path, File]]) -> dict[str, str]:
    """For every part of every vector, by its name: its digest."""
    return {
        f"{path.relative_to(FOLDER).as_posix()} {part} {vector['name']}": _digest(content)
        for path, file in files
        for vector in file["vectors"]
        for part, content in _parts(vector)
    }


def _parts(vector: Vector) -> Iterator[tuple[str, Any]]:
    """What a vector says, and its bytes in each codec: codecs are added."""
    if not isinstance(vector.get("bytes"), dict):
        yield "-", vector
        return
    yield "-", {name: value for name, value in vector.items() if name != "bytes"}
    yield from vector["bytes"].items()


def _digest(content: Any) -> str:
    """The beginning of a SHA-256: what it guards against is a slip, not an attack."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _read_manifest() -> dict[str, str]:
    if not MANIFEST.exists():
        return {}
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    return {part: digest for digest, _, part in (line.partition(" ") for line in lines)}


# -- the command


def _codecs() -> dict[str, Codec]:
    """The installed codecs that can be loaded."""
    loaded: dict[str, Codec] = {}
    for name in plugins.names()[CODECS]:
        try:
            loaded[name] = plugins.make(CODECS, name)
        except ConfigError as error:
            sys.stderr.write(f"without {name}: {error}\n")
    return loaded


def _missing(check_only: bool) -> list[str]:
    """The parts, or files, that were missing; written, unless this is only a check. Raises `Changed`."""
    codecs = _codecs()
    files = [*message_files(codecs), *hostile_files(codecs), frame_file(), pack_file(), hello_file()]
    known, now = _read_manifest(), manifest(files)
    for part, digest in known.items():
        if now.get(part) != digest:
            raise Changed(f"{part}: {'was changed' if part in now else 'is gone'}, and a vector never changes")
    added = [part for part in now if part not in known]
    if check_only:
        added += [
            str(path) for path, file in files if not path.exists() or path.read_text(encoding="utf-8") != _text(file)
        ]
    else:
        for path, file in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(file), encoding="utf-8")
        lines = [f"{digest} {part}\n" for part, digest in (known | now).items()]
        MANIFEST.write_text("".join(lines), encoding="utf-8")
    return added


def main() -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when something is missing")
    arguments = parser.parse_args()
    try:
        added = _missing(arguments.check)
    except Changed as change:
        sys.stderr.write(f"{change}\n")
        return 1
    sys.stdout.write(f"{len(added)} parts of vectors {'are missing' if arguments.check else 'added'}\n")
    return 1 if arguments.check and added else 0


if __name__ == "__main__":
    sys.exit(main())
