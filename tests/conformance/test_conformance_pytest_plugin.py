"""Somebody's own test suite, with the kit in it."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with codecs in it, where pytest knows no plugin but ours, which is so installed or not."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), str(pytester.path))))
    pytester.makeini("[pytest]\naddopts = -p raftsdk.testing.pytest_plugin --strict-markers\nfilterwarnings = error\n")
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *arguments, timeout=120)


def test_every_case_is_a_test_that_is_named_by_its_clause(suite: pytest.Pytester) -> None:
    done = run(suite, "--raft-codec", "raftsdk_json:JsonCodec", "-k", "9.14 or 9.5", "-v")
    counts = done.parseoutcomes()
    assert counts.keys() == {"passed", "deselected"}
    assert counts["passed"] > 20
    done.stdout.fnmatch_lines(["conformance::json 9.14 status_request/ordinary is read from its golden bytes*PASSED*"])
    done.stdout.fnmatch_lines(["conformance::capnp->json 9.5 every vector of request_vote_response is read*PASSED*"])


def test_a_failure_shows_the_line_the_reason_and_the_bytes_and_none_of_our_code(suite: pytest.Pytester) -> None:
    done = run(suite, "--raft-codec", "strange_codecs:LosesPreVote", "-k", "9.4 and ordinary")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        [
            "forgetful 9.4 request_vote_request/ordinary is read from its golden bytes, and from what is written of it",
            "pre_vote is False and should be True, in what it wrote itself",
            'expected: {"term":8,*"pre_vote":true,*}',
            'found:    {"term":8,*"pre_vote":false,*}',
            "bytes, * in all:",
            "  00000000  7b 22 74 65 72 6d*",
        ]
    )
    assert "Traceback" not in done.stdout.str()
    assert "def " not in done.stdout.str()


def test_known_failures_are_expected_and_one_that_passes_is_a_failure(suite: pytest.Pytester) -> None:
    line = "forgetful 9.4 request_vote_request/ordinary is read from its golden bytes, and from what is written of it"
    (suite.path / "known.txt").write_text(f"# soon\n{line}\n")
    arguments = ("--raft-known-failing", "known.txt", "-k", "9.4 and ordinary")
    assert run(suite, "--raft-codec", "strange_codecs:LosesPreVote", *arguments).parseoutcomes()["xfailed"] == 1
    (suite.path / "known.txt").write_text(line.replace("forgetful", "json"))
    done = run(suite, "--raft-codec", "json", *arguments)
    assert done.parseoutcomes()["failed"] == 1
    done.stdout.fnmatch_lines(["*XPASS(strict)*listed in known.txt*"])


def test_the_option_stands_beside_tests_of_ones_own_and_a_marker_chooses_between_them(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_of_my_own(): pass")
    done = run(suite, "--raft-codec", "json", "-m", "not raft_conformance")
    assert done.parseoutcomes()["passed"] == 1
    done = run(suite, "--raft-codec", "json", "-m", "raft_conformance", "-k", "9.14")
    assert done.parseoutcomes()["passed"] > 5


def test_a_name_that_leads_nowhere_is_a_usage_error(suite: pytest.Pytester) -> None:
    done = run(suite, "--raft-codec", "jsn")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(['*did you mean "json"*'])


def test_without_the_extra_it_says_what_to_install(suite: pytest.Pytester) -> None:
    suite.makeconftest("import sys\nsys.modules['hypothesis'] = None")
    done = run(suite, "--raft-codec", "json")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--raft-codec needs hypothesis*run: pip install raftsdk[[]conformance]"])


def test_a_run_without_the_option_is_as_without_the_plugin(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        "import sys\ndef test_nothing_was_loaded_for_nothing():\n"
        "    assert not {'hypothesis', 'raftsdk.testing.conformance'} & sys.modules.keys()"
    )
    assert run(suite).parseoutcomes() == {"passed": 1}


def test_three_lines_in_a_test_file_do_the_same(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        from raftsdk_json import JsonCodec
        from raftsdk.testing.conformance import codecs

        @pytest.mark.parametrize("trial", codecs.trials(JsonCodec()), ids=str)
        def test_my_codec_conforms(trial):
            trial.run()
        """
    )
    done = run(suite, "-k", "9.14 or 8.4", "-v")
    assert done.parseoutcomes().keys() == {"passed", "deselected"}
    done.stdout.fnmatch_lines(["*test_my_codec_conforms[[]json 9.14 status_request/ordinary*PASSED*"])
