"""Every play tells what happens. After a change: `python -m raftsdk.testing.transcript --rewrite FILES`, and read."""

from pathlib import Path

import pytest

from raftsdk.testing import transcript
from raftsdk.testing.safety import SafetyViolation
from raftsdk.testing.telling import request_text
from raftsdk.testing.transcript import PlayError, run

PLAYS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_a_play_tells_what_happens(path: Path) -> None:
    written = path.read_text()
    assert run(written) == written, f"read the difference; python -m raftsdk.testing.transcript --rewrite {path}"


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_a_play_opens_with_its_claim_and_its_name_is_a_sentence(path: Path) -> None:
    opening = path.read_text().split("\n\n")[0].splitlines()
    assert all(line.startswith("# ") for line in opening)
    assert opening[-1].endswith(".")
    assert path.stem.replace("_", "").isalnum()
    assert path.stem.count("_") >= 2


def test_a_file_that_tells_otherwise_is_shown_and_rewritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play = tmp_path / "play.txt"
    play.write_text("# One node leads.\n\ncluster nodes=1\ncampaign n1\n---\nn1 sleeps\n")

    assert transcript.main([str(play)]) == 1
    assert "-n1 sleeps" in capsys.readouterr().out
    assert transcript.main(["--rewrite", str(play)]) == 1
    assert transcript.main([str(play)]) == 0
    assert "n1 becomes leader of term 1" in play.read_text()


def test_misuse_of_the_command_line_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcript.main([]) == 2
    assert transcript.main(["--overwrite", "x"]) == 2
    assert "usage" in capsys.readouterr().err
    assert transcript.main([str(tmp_path / "absent.txt")]) == 1
    assert "absent.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("dance n1", "line 3: no command 'dance'"),
        ("tick n7", "name one of n1, n2, n3"),
        ("tick", "name one of n1, n2, n3"),
        ("campaign n1 n2", "name one of"),
        ("cluster nodes=many", "'many' is no number"),
        ("cluster colour=blue", "nothing is called colour here"),
        ("cluster election_timeout=1", "election_timeout_ticks is 1"),
        ("log n1 one", "'one' is no number"),
        ("log n1 1 colour=blue", "nothing is called colour here"),
        ("log n1 2 1", "terms never fall"),
        ("log n1 1 2 term=1", "terms never fall"),
        ("log n1 1 commit=2", "commit=2 is beyond the log"),
        ("lose n1", "name a wire"),
        ("lose n1→n2", "0 messages are under way there"),
        ("lose n1→n2 #0", "0 messages are under way there"),
        ("lose", "name a wire"),
        ("forge n1→n2 AppendEntries term=1", "write a request as plays show it"),
        ("forge n1→n2 AppendEntries term=1 prev=0@0 [..1] commit=0", "is no run of entries"),
        ("persist n1", "n1 has no write under way"),
        ("disk n1 broken", "name a node, and held or free"),
        ("restart n1", "n1 is up"),
        ("stabilize n1", "nothing is called n1 here"),
        ("members n1 n4", "name changes, as +n4 -n2 (n5)"),
        ("start n1", "name a node that is not there yet"),
        ("transfer n1 n7", "name one of n1, n2, n3"),
        ("read n1 fast", "name a node, and perhaps lease"),
    ],
)
def test_a_line_that_makes_no_sense_is_named_with_its_number(line: str, problem: str) -> None:
    with pytest.raises(PlayError, match=r"^line 3: ") as error:
        run(f"# A play.\ncluster nodes=3\n{line}\n---\n")
    assert problem in str(error.value)


def test_a_node_that_is_down_does_nothing() -> None:
    with pytest.raises(PlayError, match="line 3: tick n1: n1 is down"):
        run("cluster nodes=3\ncrash n1\ntick n1\n")


def test_an_answer_cannot_be_repeated() -> None:
    with pytest.raises(PlayError, match="a call has one answer"):
        run("cluster nodes=3 pre_vote=off\ncampaign n1\ndeliver n1→n2\nduplicate n2→n1\n")


def test_a_play_before_its_cluster_is_refused() -> None:
    with pytest.raises(PlayError, match="there is no cluster yet"):
        run("tick n1\n---\n")


def test_requests_are_read_as_they_are_shown() -> None:
    for text in (
        "AppendEntries term=4 prev=2@2 [3@3 4..5@4] commit=1",
        "AppendEntries term=1 prev=0@0 [] commit=0",
        "RequestVote term=2 last=3@1",
        "RequestVote pre-vote term=2 last=3@1",
    ):
        assert request_text(transcript.parse_request("n1", text)) == text


def test_a_play_in_which_safety_is_violated_fails() -> None:
    # n2 and n3 have committed different entries at index 1, which no schedule of ours can bring about.
    with pytest.raises(SafetyViolation, match="n3 committed other entries"):
        run("cluster nodes=3\nlog n2 1 commit=1\nlog n3 2 commit=1\n")
