"""Reports are read incrementally, whatever they contain, and the verdict accepts only complete data."""

import json
from xml.etree import ElementTree

import pytest

from testrunner.sandbox.isolation import RunLimits
from testrunner.sandbox.redaction import Redactor
from testrunner.sandbox.results.junit import junit_xml, made_from
from testrunner.sandbox.results.outcome import MAX_DETAILS, MAX_DURATION, Outcome, Stop, TestOutcome
from testrunner.sandbox.results.phases import UNREADABLE
from testrunner.sandbox.results.report import ReportReader
from testrunner.sandbox.results.verdict import stop_in_effect, verdict


def line(kind: str, **more: object) -> bytes:
    return json.dumps({"kind": kind, **more}).encode() + b"\n"


def phase(nodeid: str, when: str, outcome: str, **more: object) -> bytes:
    about = {"category": outcome, "seconds": 0.5, "expected": False, "message": "", "text": ["", "", 0], "subtest": ""}
    return line("report", id=nodeid, when=when, outcome=outcome, **(about | more))


def phases(nodeid: str, *outcomes: str, **more: object) -> bytes:
    """Return a test's lines; one outcome each for setup, call and teardown."""
    whens = ("setup", "call", "teardown") if len(outcomes) == 3 else ("setup", "teardown")
    reports = [phase(nodeid, when, outcome, **more) for when, outcome in zip(whens, outcomes, strict=True)]
    return line("started", id=nodeid) + b"".join(reports) + line("ended", id=nodeid)


PASSED = ("passed", "passed", "passed")


def report_of(*pieces: bytes, **more: int | Redactor) -> ReportReader:
    report = ReportReader(lambda result: None, **{"max_bytes": 2**20, "max_results": 100, **more})
    for piece in pieces:
        report.write(piece)
    report.close()
    return report


def whole(*tests: bytes, exit_status: int = 0) -> list[bytes]:
    return [line("collected", count=len(tests)), *tests, line("finished", status=exit_status, why="")]


@pytest.mark.parametrize(
    ("outcomes", "more", "expected"),
    [
        (PASSED, {}, "passed"),
        (("passed", "failed", "passed"), {}, "failed"),
        (("failed", "passed"), {}, "error"),
        (("passed", "passed", "failed"), {}, "error"),
        (("passed", "failed", "failed"), {}, "failed"),
        (("skipped", "passed"), {}, "skipped"),
        (("passed", "skipped", "passed"), {}, "skipped"),
    ],
)
def test_three_phases_make_one_result(outcomes, more, expected):
    report = report_of(*whole(phases("test_a.py::test_x", *outcomes, **more)))

    assert [result.outcome for result in report.results] == [expected]
    assert report.results[0].seconds == 0.5 * len(outcomes)


@pytest.mark.parametrize("duration", [float("inf"), float("-inf"), float("nan"), 1e300, -1, True, "1e300"])
def test_a_forged_duration_is_one_that_rows_and_pages_hold(duration):
    forged = phases("a", *PASSED).replace(b"0.5", json.dumps(duration).encode())

    report = report_of(*whole(forged))

    assert 0 <= report.results[0].seconds <= MAX_DURATION


def test_a_result_is_told_as_soon_as_its_last_phase_is_there():
    told: list[TestOutcome] = []
    report = ReportReader(told.append, max_bytes=2**20, max_results=100)
    text = phases("test_a.py::test_x", *PASSED)

    report.write(text[:-1])
    assert told == []
    report.write(text[-1:])

    assert [result.nodeid for result in told] == ["test_a.py::test_x"]


GARBAGE = [
    b"no json\n",
    b"[1]\n",
    b"\xff\xfe\n",
    b"[" * 100_000 + b"\n",
    b"null\n",
    line("report", id="x"),
    line("unknown"),
    line("ended", id="x"),
    phase("x", "later", "passed"),
    phase("x", "call", "failed", text=5),
    phase("x", "call", "passed", seconds=10**400),
    line("collected", count="many"),
    line("collected", count=float("inf")),
    line("finished", status=float("inf"), why=""),
    b'{"half": ',
    b"x" * (2**20 + 10),
    b"y" * (2**20 + 10) + b"\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_line_that_cannot_be_read_costs_only_itself(garbage):
    report = report_of(garbage + b"\n", *whole(phases("test_a.py::test_x", *PASSED)), garbage, max_bytes=2**24)

    assert report.unreadable == 2
    assert [result.outcome for result in report.results] == ["passed"]
    assert verdict(report, 0)[0] == Outcome.SUCCESS


def test_a_test_one_of_whose_lines_cannot_be_read_has_not_passed():
    lines = phases("a", *PASSED).splitlines(keepends=True)
    lines[2] = lines[2][5:]

    report = report_of(*whole(*lines)[1:-1], line("collected", count=1), line("finished", status=0, why=""))

    assert [(result.outcome, result.message) for result in report.results] == [("error", UNREADABLE)]
    assert verdict(report, 0)[0] == Outcome.ERROR


def test_tests_that_start_without_end_are_bounded():
    report = report_of(b"".join(line("started", id=str(number)) for number in range(200)))

    assert len(report.results) == 100
    assert verdict(report, 0)[0] == Outcome.ERROR


@pytest.mark.parametrize(
    ("pieces", "exit_code", "outcome"),
    [
        (whole(phases("a", *PASSED)), 0, Outcome.SUCCESS),
        (whole(phases("a", *PASSED), phases("b", "passed", "failed", "passed"), exit_status=1), 1, Outcome.FAILED),
        (whole(phases("a", "failed", "passed"), exit_status=1), 1, Outcome.ERROR),
        (whole(phases("a", *PASSED)), 1, Outcome.ERROR),
        (whole(phases("a", *PASSED), exit_status=1), 0, Outcome.ERROR),
        (whole(phases("a", *PASSED))[:-1], 0, Outcome.ERROR),
        (whole(phases("a", *PASSED))[1:], 0, Outcome.ERROR),
        ([line("collected", count=2), *whole(phases("a", *PASSED))[1:]], 0, Outcome.ERROR),
        (whole(exit_status=5), 5, Outcome.ERROR),
        (whole(), 0, Outcome.ERROR),
        ([], 0, Outcome.ERROR),
        (whole(phases("a", *PASSED)), -9, Outcome.ERROR),
        (whole(phases("a", *PASSED)), None, Outcome.ERROR),
    ],
)
def test_success_needs_exit_code_report_and_a_result_for_every_test(pieces, exit_code, outcome):
    assert verdict(report_of(*pieces), exit_code)[0] == outcome


def test_the_reason_of_a_bad_end_is_in_words():
    report = report_of(*whole(phases("a", *PASSED)))

    assert verdict(report, -9)[1] == "pytest was ended by signal 9 (SIGKILL)."
    assert verdict(report, -24, limits=RunLimits(cpu_seconds=7))[1] == "The tests used up their 7 s of processor time."
    assert verdict(report_of(), 0)[1].endswith("did a test call os._exit()?")


def test_a_test_that_never_ended_is_an_error_and_told():
    report = report_of(line("collected", count=1), line("started", id="a"))

    assert [(result.nodeid, result.outcome) for result in report.results] == [("a", "error")]
    assert report.results[0].message == "The run ended before this test did."


def test_too_many_tests_and_too_long_words_are_bounded():
    many = report_of(*(phases(str(number), *PASSED) for number in range(7)), max_results=5)
    text = ["é" * 40_000, "z" * 40_000, 123]
    long = report_of(*whole(phases("n" * 5000, "passed", "failed", "passed", text=text)))

    assert len(many.results) == 5
    assert many.problem == "it has too many tests"
    assert len(long.results[0].nodeid) == 1000
    assert len(long.results[0].details) <= MAX_DETAILS + 100
    assert "characters left out" in long.results[0].details


def test_tests_with_long_ids_stay_apart():
    names = [f"test_a.py::test_x[{'n' * 3_000}{number}]" for number in range(2)]

    report = report_of(*whole(*(phases(name, *PASSED) for name in names)))

    assert len({result.nodeid for result in report.results}) == 2
    assert {len(result.nodeid) for result in report.results} == {1_000}


def test_tests_that_differ_in_a_secret_stay_apart():
    report = report_of(
        *whole(*(phases(f"test_a.py::test_x[{word}]", *PASSED) for word in ("hush-one", "hush-two"))),
        redactor=Redactor(["hush-one", "hush-two"]),
    )

    assert [result.nodeid for result in report.results] == ["test_a.py::test_x[***]", "test_a.py::test_x[***]~2"]


def test_no_cut_leaves_the_beginning_of_a_secret():
    secret = "s3cret" * 20
    text = ["x" * 1_000 + secret[:50], secret[50:] + "y" * 1_000, 30]
    test = phases(
        f"test_a.py::test_x[{'n' * 950}{secret}]", "passed", "failed", "passed", message="m" * 980 + secret, text=text
    )

    (result,) = report_of(*whole(test), redactor=Redactor([secret])).results

    assert "s3cret" not in result.nodeid + result.message + result.details


def test_call_and_teardown_are_both_explained_and_counted():
    lines = [
        line("started", id="a"),
        phase("a", "setup", "passed"),
        phase("a", "call", "failed", message="assert 1 == 2", text=["E assert 1 == 2", "", 0]),
        phase("a", "teardown", "failed", message="RuntimeError: no", text=["E RuntimeError: no", "", 0]),
        line("ended", id="a"),
    ]

    report = report_of(*whole(b"".join(lines), exit_status=1))

    (result,) = report.results
    assert (result.outcome, result.counts_as) == ("failed", ("failed", "error"))
    assert result.message == "assert 1 == 2; teardown: RuntimeError: no"
    assert "E assert 1 == 2" in result.details and "E RuntimeError: no" in result.details
    assert "= Call =" in result.details and "= Teardown =" in result.details
    assert verdict(report, 1) == (Outcome.FAILED, "1 of 1 test failed.")


def test_a_failed_subtest_fails_its_test_though_pytest_says_that_this_one_passed():
    test = phases("a", *PASSED).splitlines(keepends=True)
    test.insert(2, phase("a", "call", "failed", subtest="[one] (i=1)", message="1 == 1", text=["E 1 == 1", "", 0]))

    (result,) = report_of(*whole(b"".join(test), exit_status=1)).results

    assert (result.outcome, result.counts_as, result.message) == ("failed", ("failed",), "subtest [one] (i=1): 1 == 1")


def test_a_test_that_passes_after_reruns_passed():
    test = [
        line("started", id="a"),
        *[phase("a", when, "passed") for when in ("setup",)],
        phase("a", "call", "rerun", message="assert 0"),
        *[phase("a", when, "passed") for when in ("setup", "call", "teardown")],
        line("ended", id="a"),
    ]

    report = report_of(*whole(b"".join(test)))

    assert [(result.outcome, result.message) for result in report.results] == [
        ("passed", "passed after 1 rerun; assert 0")
    ]
    assert verdict(report, 0)[0] == Outcome.SUCCESS


def test_a_test_that_is_run_twice_fails_if_it_fails_once():
    for outcomes in ((("passed", "failed", "passed"), PASSED), (PASSED, ("passed", "failed", "passed"))):
        report = report_of(*whole(*(phases("a", *each) for each in outcomes), exit_status=1)[1:])

        assert [result.outcome for result in report.results] == ["failed"]


def test_an_outcome_of_another_plugin_is_named():
    test = phases("a", *PASSED).splitlines(keepends=True)
    test[2] = phase("a", "call", "passed", category="known issue")

    (result,) = report_of(*whole(b"".join(test))).results

    assert (result.outcome, result.message) == ("passed", "reported as 'known issue'")


def test_a_run_that_stops_at_its_first_failure_has_failed():
    report = report_of(line("collected", count=3), *whole(phases("a", "passed", "failed", "passed"), exit_status=1)[1:])

    words = "1 of 3 tests failed. 2 did not run, because pytest stopped before."
    assert verdict(report, 1) == (Outcome.FAILED, words)


def test_terminal_codes_and_control_characters_are_left_out():
    text = ["\x1b[31mE   assert\x1b[0m 1\x00\udc80\r\n\x1b]0;title\x07next", "", 0]

    (result,) = report_of(
        *whole(phases("a\x1b[1m", "passed", "failed", "passed", message="\x1b[1mbad\x1b[0m", text=text))
    ).results

    assert (result.nodeid, result.message) == ("a", "bad")
    assert "E   assert 1\ufffd\ufffd\nnext" in result.details


def test_junit_has_no_colours():
    coloured = made_from([TestOutcome("a.py::test_x", "failed", 0, "#x1B[31mred#x1B[0m")], reason="")

    assert "#x1B" not in junit_xml(coloured, [], reason="", redactor=Redactor())


def test_junit_is_pytests_own_if_it_is_whole():
    own = made_from([TestOutcome("a.py::test_x", "passed")], reason="")

    assert 'name="test_x"' in junit_xml(own, [], reason="", redactor=Redactor())


@pytest.mark.parametrize(
    "written",
    [
        None,
        b"",
        b"<testsuites>",
        b"<html></html>",
        b"\xff\xfe garbage",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuites>&a;</testsuites>',
        b'<!DOCTYPE testsuites SYSTEM "file:///etc/passwd"><testsuites/>',
    ],
)
def test_junit_is_made_from_the_results_where_pytests_own_is_no_document(written):
    results = [
        TestOutcome("smoke/test_a.py::test_x[\0\x1b]", "failed", 0.25, "assert <1> & 2", "trace\x00back"),
        TestOutcome("smoke/test_a.py::test_y", "skipped", message="not today"),
        TestOutcome("smoke/test_a.py::test_z", "error"),
    ]

    document = junit_xml(written, results, reason="It went wrong.", redactor=Redactor())

    suite = ElementTree.fromstring(document)[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "1"]
    assert suite[0].get("classname") == "smoke.test_a"
    assert suite.find("system-err").text == "It went wrong."


CANCELLED, TOO_MUCH = (
    Stop(Outcome.CANCELLED, "Cancelled by tess."),
    Stop(Outcome.ERROR, "More than 1 MiB were written."),
)


@pytest.mark.parametrize(
    ("stop", "messages", "expected"),
    [
        (CANCELLED, {}, CANCELLED),
        (CANCELLED, {"exit": 2, "stopped": True}, CANCELLED),
        (CANCELLED, {"exit": 0, "stopped": False}, None),  # pytest had just ended by itself
        (TOO_MUCH, {"exit": 0, "stopped": False}, TOO_MUCH),
        (None, {"exit": 0, "stopped": False}, None),
        (
            CANCELLED,
            {"ended": "memory"},
            Stop(Outcome.ERROR, "The run's processes occupied more than 4 GiB of memory together."),
        ),
    ],
)
def test_a_stop_counts_unless_the_run_had_ended_before(stop, messages, expected):
    assert stop_in_effect(stop, messages, RunLimits()) == expected
    assert verdict(report_of(), None, stop=CANCELLED) == (Outcome.CANCELLED, "Cancelled by tess.")
