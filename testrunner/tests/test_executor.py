"""Results of runs of ordinary files."""

import time
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from testrunner.models import EnvironmentVariable
from testrunner.sandbox.executor import execute
from testrunner.sandbox.isolation import RunLimits
from testrunner.sandbox.isolation_check import probe
from testrunner.sandbox.pytest_command import _allowed
from testrunner.sandbox.results.outcome import Outcome
from testrunner.sandbox.run_spec import RunSpec, TestBytes
from testrunner.tests.running import SAMPLES, processes_of, run


@pytest.mark.parametrize(
    ("sample", "outcome", "words"),
    [
        ("success", Outcome.SUCCESS, ""),
        ("fail", Outcome.FAILED, "1 of 2 tests failed."),
        ("error", Outcome.ERROR, "The set-up or teardown of 1 of 1 test failed."),
        ("empty", Outcome.ERROR, "No tests were collected."),
        ("colours", Outcome.SUCCESS, ""),
        ("parametrised", Outcome.SUCCESS, ""),
    ],
)
def test_a_sample_ends_as_its_name_says(tmp_path, sample, outcome, words):
    ran = run(tmp_path, SAMPLES / f"test_{sample}.py")

    assert (ran.finished.outcome, ran.finished.reason) == (outcome, words)
    assert ran.told == ran.finished.results
    assert ran.finished.all_ran == (sample != "empty")
    assert list(tmp_path.iterdir()) == []
    assert processes_of(ran.name) == []


def test_the_sample_that_asks_a_service_asks_the_one_of_its_environment(tmp_path, httpserver):
    httpserver.expect_request("/ping/").respond_with_json({"status": "ok"})
    sample, environment = SAMPLES / "test_public_api.py", {"API_URL": httpserver.url_for("/ping/")}

    ran = run(tmp_path, sample, environment=environment)

    assert ran.finished.outcome == Outcome.SUCCESS, ran.log.decode()
    assert f"{environment['API_URL']} answered {{'status': 'ok'}}".encode() in ran.log
    httpserver.clear()
    assert run(tmp_path, sample, environment=environment).finished.outcome == Outcome.FAILED


def test_the_slow_sample_says_each_second_how_far_it_is(tmp_path):
    seen: list[float] = []

    def look(ran) -> None:
        if len(seen) < b"".join(ran.chunks).count(b"step "):
            seen.append(time.monotonic())

    ran = run(tmp_path, SAMPLES / "test_slow.py", environment={"STEPS": "3"}, should_stop=look)

    assert ran.finished.outcome == Outcome.SUCCESS
    assert b"step 3 of 3" in ran.log
    assert len(seen) >= 2 and seen[-1] - seen[0] > 0.5


def test_several_files_are_one_run_with_a_result_for_each_test(tmp_path):
    ran = run(tmp_path, *(SAMPLES / f"test_{name}.py" for name in ("success", "fail", "error", "empty")))

    assert ran.finished.outcome == Outcome.FAILED
    assert ran.outcomes == {
        "test_addition": "passed",
        "test_a_word_contains_its_letters": "passed",
        "test_the_answer_is_known": "failed",
        "test_the_question_is_known": "passed",
        "test_an_account_has_an_owner": "error",
    }
    failed = next(result for result in ran.told if result.outcome == "failed")
    assert failed.message == "assert 54 == 42"
    assert "answer = 6 * 9" in failed.details


def test_results_tell_skipped_and_expected_failures_apart(tmp_path):
    ran = run(tmp_path, SAMPLES / "test_parametrised.py")

    assert len(ran.told) == 102
    assert ran.outcomes["test_skipped"] == "skipped"
    assert ran.outcomes["test_expected_to_fail"] == "xfailed"
    messages = {result.message for result in ran.told if result.outcome != "passed"}
    assert messages == {"Skipped: Shows how a skipped test looks.", "Shows how an expected failure looks."}


def test_a_file_that_does_not_import_is_an_error_that_names_it(tmp_path):
    ran = run(tmp_path, ("test_import.py", "import no_such_module\n"))

    assert ran.finished.outcome == Outcome.ERROR
    assert "test_import.py: ModuleNotFoundError: No module named 'no_such_module'" in ran.finished.reason


def test_the_log_arrives_while_the_tests_run(tmp_path):
    text = """
        import pathlib, time
        def test_it():
            print("ready", flush=True)
            time.sleep(60)
    """

    ran = run(tmp_path, ("test_it.py", _dedent(text)), should_stop=lambda ran: "seen" if _seen(ran, b"ready") else None)

    assert (ran.finished.outcome, ran.finished.reason) == (Outcome.CANCELLED, "seen")


def _seen(ran, words: bytes) -> bool:
    return words in b"".join(ran.chunks)


def test_a_stopped_run_tidies_up_and_says_where_it_was(tmp_path):
    text = """
        import time, pytest
        @pytest.fixture
        def account():
            yield
            print("account deleted")
        def test_it(account):
            print("ready")
            time.sleep(60)
    """

    ran = run(tmp_path, ("test_it.py", _dedent(text)), should_stop=lambda ran: "stop" if _seen(ran, b"ready") else None)

    assert b"account deleted" in ran.log
    assert b"KeyboardInterrupt" in ran.log
    assert [(result.nodeid, result.outcome) for result in ran.told] == [("test_it.py::test_it", "error")]
    assert ran.told[0].message == "The run ended before this test did."


def test_an_endless_run_times_out(tmp_path):
    ran = run(
        tmp_path,
        ("test_it.py", "import time\ndef test_it():\n    time.sleep(60)\n"),
        limits=RunLimits(wall_seconds=2, grace_seconds=2),
    )

    assert (ran.finished.outcome, ran.finished.reason) == (Outcome.TIMED_OUT, "Not finished after 2 s.")


def test_a_test_sees_its_variables_and_nothing_of_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKER_SECRET", "hunter2")
    text = "import os\ndef test_it():\n    print('variables', sorted(os.environ))\n    assert os.environ['API_URL']\n"
    given = {"API_URL": "http://api", "PYTEST_ADDOPTS": "--collect-only", "LD_PRELOAD": "/x.so", "HOME": "/root"}

    ran = run(tmp_path, ("test_it.py", text), environment=given)

    assert ran.finished.outcome == Outcome.SUCCESS
    seen = ran.log.partition(b"variables ")[2].partition(b"]")[0].decode()
    assert "API_URL" in seen
    assert not {"WORKER_SECRET", "PYTEST_ADDOPTS", "LD_PRELOAD"} & set(seen.replace("'", "").split(", "))


HARMLESS = ["USER", "LOGNAME", "LANG", "LC_ALL", "COLUMNS", "TMP", "TEMP", "TZ", "MALLOC_ARENA_MAX", "API_URL"]


def test_every_variable_that_can_be_given_reaches_the_test(tmp_path):
    given = {name: "7" for name in HARMLESS}
    text = f"import os\ndef test_it():\n    assert {{os.environ.get(name) for name in {HARMLESS}}} == {{'7'}}\n"

    for name in given:
        EnvironmentVariable(environment_id=17, name=name, value="7").clean_fields(exclude=["environment"])
    ran = run(tmp_path, ("test_it.py", text), environment=given)

    assert ran.finished.outcome == Outcome.SUCCESS, ran.log.decode()


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTESTX", "LD_PRELOAD", "DYLD_X", "OPSROOMX"]
)
def test_a_variable_that_steers_is_refused_where_it_is_given_and_where_it_is_used(tmp_path, name):
    with pytest.raises(ValidationError, match="sets this one itself"):
        EnvironmentVariable(environment_id=17, name=name).clean_fields(exclude=["environment"])

    assert name not in _allowed({name: "x"})


def test_secrets_are_told_to_nobody_though_they_are_in_ids_and_at_cuts(tmp_path):
    text = """
        import os, pytest
        @pytest.mark.parametrize("key", [os.environ["KEY"], os.environ["KEY"] + "x" * 3000])
        def test_it(key):
            print("-" * 90, key, sep="")
            assert key == "another"
    """

    ran = run(
        tmp_path,
        ("test_it.py", _dedent(text)),
        environment={"KEY": "hüsh & hush"},
        secrets=["hüsh & hush"],
        limits=RunLimits(log_head=300, log_tail=200),
    )

    told = ran.log.decode() + str(ran.told)
    assert "sh &" not in told and "sh \\x26" not in told
    assert [result.outcome for result in ran.told] == ["failed", "failed"]


def test_a_broken_callback_ends_the_run_and_reaches_the_caller(tmp_path):
    names = []

    def lost(ran):
        names.append(ran.name)
        if ran.pids:
            raise ConnectionError("lease lost")

    with pytest.raises(ConnectionError, match="lease lost"):
        run(tmp_path, ("test_it.py", "import time\ndef test_it():\n    time.sleep(60)\n"), should_stop=lost)

    assert processes_of(names[0]) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../test_x.py", "/etc/test_x.py", "a/../../test_x.py", "", "a\\test_x.py", "a\0.py"])
def test_a_path_that_leaves_the_directory_is_refused(tmp_path, path):
    with pytest.raises(ValueError, match="Not a path below"):
        spec = RunSpec([TestBytes(path, b"")], root=tmp_path, run_name="run-test")
        execute(spec, on_log=print, on_result=print, should_stop=lambda: None)


def test_a_file_in_a_directory_finds_its_conftest(tmp_path):
    conftest = "import pytest\n@pytest.fixture\ndef number():\n    return 7\n"

    ran = run(
        tmp_path,
        ("smoke/conftest.py", conftest),
        ("smoke/test_it.py", "def test_it(number):\n    assert number == 7\n"),
    )

    assert ran.finished.outcome == Outcome.SUCCESS
    assert [result.nodeid for result in ran.told] == ["smoke/test_it.py::test_it"]


def test_why_a_test_failed_is_explained_in_full(tmp_path):
    text = """
        import logging, pytest
        @pytest.fixture
        def account():
            yield
            raise RuntimeError("not deleted")
        def test_difference(account):
            logging.warning("w" * 2_000_000)
            assert {f"key {n}": n for n in range(200)} == {f"key {n}": n + n // 199 for n in range(200)}
        def test_cause():
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("\x1b[31mno value\x1b[0m") from error
        def test_next():
            pass
    """

    ran = run(tmp_path, ("test_it.py", _dedent(text)))

    difference, cause, passed = ran.told
    assert (difference.counts_as, passed.outcome) == (("failed", "error"), "passed")
    for words in ("'key 0': 0,", "'key 100': 100,", "E         ?", "test_it.py:9: AssertionError", "not deleted"):
        assert words in difference.details
    assert "teardown: RuntimeError: not deleted" in difference.message
    assert cause.message == "ValueError: no value"
    assert "direct cause" in cause.details and "KeyError: 'key'" in cause.details
    assert "test_it.py:14: ValueError" in cause.details
    assert "\x1b" not in str(ran.told) and "#x1B" not in ran.finished.junit_xml
    assert b"\x1b[33mWARNING" in ran.log


def test_helpers_beside_a_test_in_a_package_are_found_by_both_of_their_names(tmp_path):
    text = "from helpers import n\nfrom pkg.helpers import n as same\ndef test_it():\n    assert n == same == 7\n"

    ran = run(tmp_path, ("pkg/__init__.py", ""), ("pkg/helpers.py", "n = 7\n"), ("pkg/test_it.py", text))

    assert ran.finished.outcome == Outcome.SUCCESS, ran.log.decode()


def test_the_record_says_which_isolation_was_used(tmp_path):
    ran = run(tmp_path, SAMPLES / "test_success.py")

    isolation, _, limits = ran.finished.sandbox.partition("; ")
    assert isolation == probe(tmp_path).description
    assert limits == "2 GiB memory a process, 4 GiB together, 512 MiB of files, 128 processes, network open"
    assert Path(f"/proc/{ran.pids[0]}").exists() is False


def _dedent(text: str) -> str:
    from textwrap import dedent

    return dedent(text)


def test_a_wish_to_stop_that_comes_after_pytests_end_changes_nothing(tmp_path):
    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    def wish_once_it_is_over(ran) -> str | None:
        """Request a stop after the last result was reported, but not before pytest and its supervisor have ended."""
        if not ran.told:
            return None
        assert any(gone(ran.pids[0]) or time.sleep(0.05) for _ in range(400))
        return "Cancelled by mara."

    ran = run(tmp_path, SAMPLES / "test_success.py", should_stop=wish_once_it_is_over)

    assert (ran.finished.outcome, ran.finished.reason, ran.finished.all_ran) == (Outcome.SUCCESS, "", True)
    test_slow = ("test_slow.py", "import time\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n")
    stopped = run(tmp_path, test_slow, should_stop=lambda ran: "Cancelled by mara." if ran.told else None)
    assert stopped.finished.outcome == Outcome.CANCELLED
