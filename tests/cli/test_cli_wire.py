"""`raftsdk wire decode`, run as its users run it."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

from raftsdk_json import JsonCodec
from raftsdk_msgpack import MsgpackCodec

from raftsdk.messages import AppendEntriesRequest, ErrorResponse, MessageKind
from raftsdk.types import Entry
from raftsdk.wire.frame import encode_frame

HEARTBEAT = AppendEntriesRequest(
    term=3, leader_id="n1", prev_log_index=9, prev_log_term=2, leader_commit=9, entries=[Entry(3, 1, b"x" * 100)]
)


def decode(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "raftsdk.cli", "wire", "decode", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def frame(codec: JsonCodec | MsgpackCodec, call_id: int = 7) -> bytes:
    return encode_frame(MessageKind.APPEND_ENTRIES_REQUEST, 0, call_id, codec.encode(HEARTBEAT))


def test_a_recording_is_shown_frame_by_frame(tmp_path: Path) -> None:
    recording = tmp_path / "recorded"
    recording.write_bytes(frame(MsgpackCodec()) + frame(MsgpackCodec(), 8))
    done = decode(str(recording))
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    first, second = (number for number, line in enumerate(lines) if line.startswith("@"))
    assert lines[first].startswith("@0 append_entries_request call 7, ")
    assert lines[second].startswith(f"@{len(frame(MsgpackCodec()))} append_entries_request call 8, ")
    assert "    leader_id: n1" in lines[first:second]
    assert f"    entries: [{{term: 3, kind: 1, data: {b'x'.hex() * 32}… (100 bytes)}}]" in lines[first:second]


def test_hex_on_standard_input_and_json_lines_for_programs() -> None:
    done = decode("--json", stdin=frame(JsonCodec()).hex(" ").encode())
    assert done.returncode == 0, done.stderr.decode()
    (seen,) = map(json.loads, done.stdout.splitlines())
    assert (seen["file"], seen["offset"], seen["kind"], seen["call_id"]) == ("-", 0, "append_entries_request", 7)
    assert seen["codec"] == "json"
    assert seen["content"]["entries"] == [{"term": 3, "kind": 1, "data": b64encode(b"x" * 100).decode()}]


def test_the_codec_may_be_named_and_a_wrong_one_is_told() -> None:
    assert decode("--codec", "msgpack", stdin=frame(MsgpackCodec())).returncode == 0
    other = decode("--codec", "json", stdin=frame(MsgpackCodec()))
    assert other.returncode == 1
    assert b"!! json: AppendEntriesRequest: " in other.stdout
    unknown = decode("--codec", "msgpak", stdin=frame(MsgpackCodec()))
    assert (unknown.returncode, b'did you mean "msgpack"?' in unknown.stderr) == (2, True)


def test_damage_is_shown_and_ends_with_1() -> None:
    damaged = bytearray(frame(MsgpackCodec()))
    damaged[-1] ^= 1
    done = decode(stdin=bytes(damaged) + frame(MsgpackCodec()))
    assert done.returncode == 1
    assert b"!! bad_checksum: " in done.stdout
    assert b"leader_id: n1" in done.stdout
    assert b"1 of these are no sound frames" in done.stderr


def test_a_strangers_text_does_not_write_on_the_terminal() -> None:
    nasty = ErrorResponse(code="x", message="\x1b[2J\nno")
    done = decode(stdin=encode_frame(MessageKind.ERROR, 3, 1, JsonCodec().encode(nasty)))
    assert b"\x1b" not in done.stdout
    assert b"message: '\\x1b[2J\\nno'" in done.stdout


def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = decode(stdin=b"GET / HTTP/1.1\r\n")
    assert (done.returncode, b"line 1 is no hex" in done.stderr) == (2, True)
    missing = decode(str(tmp_path / "missing"))
    assert (missing.returncode, b"No such file" in missing.stderr) == (1, True)
    assert b"Traceback" not in missing.stderr
