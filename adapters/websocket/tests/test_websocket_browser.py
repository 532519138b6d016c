"""What a page does and sees, done by Node.js: its WebSocket is that of the browsers' specification."""

import asyncio
import os
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from websocket_nodes import running

README = Path(__file__).parents[1] / "README.md"
NODE = ("node", "--experimental-websocket")  # Before version 22 the flag is needed.
TIMEOUT_S = 30

STAYS = """
socket.send(frame(0x04, 0));
socket.send(frame(0x20, 2, { command: btoa("43") }));
console.log(await answer());
socket.close();
"""
SEES_ITS_MISTAKES = """
const socket = new WebSocket("ADDRESS", "raftsdk.v1");
socket.onopen = () => socket.send("text");
socket.onclose = ({ code, reason, wasClean }) => console.log(code, wasClean, reason);
"""
SEES_A_REFUSAL = """
const socket = new WebSocket("ADDRESS", "chat");
socket.onopen = () => console.log("opened");
socket.onerror = () => console.log("failed");
"""


@pytest.fixture(scope="module", autouse=True)
def _node_js() -> None:
    """Skips where there is none, but not where changes are judged."""
    has_it = "process.exit(typeof WebSocket === 'function' ? 0 : 1)"
    if shutil.which(NODE[0]) and not subprocess.run([*NODE, "-e", has_it], timeout=TIMEOUT_S, check=False).returncode:
        return
    missing = "needs Node.js 20.10 or later on the path: install it from your system's packages or from nodejs.org"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


async def _printed(script: str, folder: Path) -> str:
    """What Node.js prints when it runs `script`."""
    file = folder / "page.mjs"
    file.write_text(script, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *NODE, "--no-warnings", str(file), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            printed, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, complaints.decode()
    return printed.decode()


def _page(address: str) -> str:
    """The script in the README, with another address in it."""
    snippet: str
    (snippet,) = re.findall(r"```javascript\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return snippet.replace("ws://127.0.0.1:7001/raft", address)


def test_the_page_in_the_readme_has_25_lines_at_most() -> None:
    assert len([line for line in _page("").splitlines() if line]) <= 25


async def test_the_page_in_the_readme_says_hello_and_proposes(tmp_path: Path) -> None:
    async with running("n1") as cluster:
        await cluster.leader()
        printed = await _printed(_page(cluster.address()), tmp_path)
        assert "answer: 'accepted'" in printed
        assert f"result: '{b64encode(b'line 1').decode()}'" in printed
        assert cluster.machines["n1"].lines == [b"42"]
        assert cluster.closed_by_reason() == {}


async def test_a_page_that_stays_sends_keep_alives_and_proposes_again(tmp_path: Path) -> None:
    async with running("n1") as cluster:
        await cluster.leader()
        page = _page(cluster.address()).replace("socket.close();\n", STAYS)
        assert f"result: '{b64encode(b'line 2').decode()}'" in await _printed(page, tmp_path)
        assert cluster.closed_by_reason() == {}


async def test_a_page_sees_the_close_code_and_the_sentence(tmp_path: Path) -> None:
    async with running("n1") as cluster:
        printed = await _printed(SEES_ITS_MISTAKES.replace("ADDRESS", cluster.address()), tmp_path)
        assert printed == "1003 true a text message; send each frame as a binary one\n"


async def test_a_page_of_another_protocol_never_gets_a_connection(tmp_path: Path) -> None:
    async with running("n1") as cluster:
        printed = await _printed(SEES_A_REFUSAL.replace("ADDRESS", cluster.address()), tmp_path)
        assert printed == "failed\n"
        assert cluster.closed_by_reason() == {"bad_upgrade": 1}
