"""docs/tls.md is run as a reader runs it, from the first command to the last."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tls.md"
TIMEOUT_S = 120

COMMANDS = Path(sys.executable).parent

BEGIN = f"""set -euo pipefail
export PATH="{COMMANDS}:$PATH" PYTHONWARNINGS=
trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT
at() {{ for _ in $(seq 600); do (: < /dev/tcp/127.0.0.1/$1) 2> /dev/null && return; sleep 0.1; done; return 1; }}
"""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def script_of(page: str) -> str:
    """All of the page's code: commands as they are, the file written, the Python run."""
    parts = [BEGIN]
    for language, code in re.findall(r"```(\w+)\n(.*?)```", page, flags=re.DOTALL):
        if language == "sh":
            parts.append(code)
        elif language == "toml":
            parts.append(f"cat > n1.toml << 'END'\n{code}END\n")
        else:
            assert language == "python"
            parts.append(f"cat > client.py << 'END'\n{code}END\npython client.py\n")
        if "raftsdk node" in code:
            parts.append("for port in 7001 7002 7003; do at $port; done\n")
    return "\n".join(parts)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    script = script_of(PAGE.read_text(encoding="utf-8"))
    for number, port in enumerate(free_ports(3), 1):
        script = script.replace(f"700{number}", str(port))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "n2.toml: sound." in done.stdout
    assert "put greeting: 5 bytes" in done.stdout
    assert "\nhello" in done.stdout
    assert re.search(r"^n1 +n2 +yes +\w+ +tcp\+tls", done.stdout, flags=re.MULTILINE)
    assert "b'hello'" in done.stdout
    assert "replaced greeting: 11 bytes" in done.stdout
    assert "certificates were read again from n1.pem, n1.key, authority.pem" in done.stderr
    assert "Traceback" not in done.stderr
