"""`raftsdk conformance`, as whoever wrote a codec calls it."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from raftsdk.cli import conformance
from raftsdk.cli.output import EXIT_CODES_HELP, Exit
from raftsdk.errors import ConfigError

HERE = Path(__file__).parent
BROKEN = "strange_codecs:LosesPreVote"
LINE = "forgetful 9.4 request_vote_request/ordinary is read from its golden bytes, and from what is written of it"


@pytest.fixture(autouse=True)
def strange_codecs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(HERE)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(conformance.app, ["codecs", "--examples", "2", *arguments])


def test_a_codec_that_is_right_ends_with_0_and_says_so() -> None:
    done = run("--codec", "json", "--clause", "9.4", "--clause", "9.5")
    assert done.exit_code == Exit.OK
    assert done.stdout.splitlines()[-1].startswith("conforms: ")
    assert "RequestVoteRequest" in done.stdout


def test_a_codec_that_is_wrong_ends_with_1_and_everything_is_reported(tmp_path: Path) -> None:
    page, xml = tmp_path / "report.html", tmp_path / "report.xml"
    done = run("--codec", BROKEN, "--clause", "9.4", "--html", str(page), "--junit", str(xml))
    assert done.exit_code == Exit.FAILED
    assert f"✗ {LINE}" in done.stdout
    assert "pre_vote is False and should be True" in done.stdout
    assert "Does not conform" in page.read_text(encoding="utf-8")
    assert int(ElementTree.fromstring(xml.read_bytes()).attrib["failures"]) > 1


def test_json_is_one_object_and_nothing_else() -> None:
    done = run("--codec", BROKEN, "--clause", "9.4", "--json")
    assert done.exit_code == Exit.FAILED
    report = json.loads(done.stdout)
    assert report["tiers"] == ["codecs"]
    assert not report["passed"]
    assert report["counts"]["failed"] == sum(result["outcome"] == "failed" for result in report["results"])


def test_known_failures_are_no_failures_until_one_of_them_passes(tmp_path: Path) -> None:
    report = json.loads(run("--codec", BROKEN, "--clause", "9.4", "--json").stdout)
    lines = [f"{r['subject']} {r['clause']} {r['sentence']}" for r in report["results"] if r["outcome"] == "failed"]
    assert LINE in lines
    known = tmp_path / "known.txt"
    known.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = run("--codec", BROKEN, "--clause", "9.4", "--known-failing", str(known))
    assert done.exit_code == Exit.OK
    assert f"{len(lines)} known" in done.stdout
    passing = next(r for r in report["results"] if r["outcome"] == "passed")
    with known.open("a", encoding="utf-8") as file:
        file.write(f"{passing['subject']} {passing['clause']} {passing['sentence']}\n")
    done = run("--codec", BROKEN, "--clause", "9.4", "--known-failing", str(known))
    assert done.exit_code == Exit.FAILED
    assert f"it passes: take line {len(lines) + 1} out" in done.stdout


def test_lines_about_clauses_that_are_not_tried_this_time_are_no_faults(tmp_path: Path) -> None:
    known = tmp_path / "known.txt"
    known.write_text(f"{LINE}\n", encoding="utf-8")
    assert run("--codec", BROKEN, "--clause", "9.14", "--known-failing", str(known)).exit_code == Exit.OK


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--codec", "jsn"], 'did you mean "json"'),
        (["--codec", "json", "--clause", "9.99"], "no case is about clause 9.99"),
        (["--known-failing", "nowhere.txt"], "the list of known failures 'nowhere.txt' cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


@pytest.mark.parametrize("library", ["hypothesis", "jinja2"])
def test_without_the_extra_it_says_what_to_install(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("raftsdk.testing.conformance.")]:
        if name.endswith(("codecs", "by_chance", "strategies", "report.html")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    done = run("--codec", "json", "--clause", "9.14", "--html", "report.html")
    assert done.exit_code == Exit.USAGE
    assert done.stderr == (
        f"The conformance kit needs {library}, which is not installed; run: pip install raftsdk[conformance]\n"
    )


def test_the_help_names_the_exit_codes_and_the_options() -> None:
    text = " ".join(CliRunner().invoke(conformance.app, ["codecs", "--help"]).stdout.split())
    assert " ".join(EXIT_CODES_HELP.split()) in text
    for option in ("--codec", "--html", "--junit", "--json", "--known-failing", "--clause"):
        assert option in text
