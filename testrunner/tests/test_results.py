"""A report is read as it comes, whatever is in it, and the verdict believes nothing that is not whole."""

import json
from xml.etree import ElementTree

import pytest

from testrunner.junit import is_junit, junit_xml, made_from
from testrunner.mask import Mask
from testrunner.results import DETAILS, LONGEST, Outcome, Report, TestResult
from testrunner.verdict import verdict


def line(kind: str, **more: object) -> bytes:
    return json.dumps({"$report_type": kind, **more}).encode() + b"\n"


def phases(nodeid: str, *outcomes: str, **more: object) -> bytes:
    """A test's lines; one outcome for each of setup, call and teardown."""
    whens = ("setup", "call", "teardown") if len(outcomes) == 3 else ("setup", "teardown")
    reports = [
        line("TestReport", nodeid=nodeid, when=when, outcome=outcome, duration=0.5, **more)
        for when, outcome in zip(whens, outcomes, strict=True)
    ]
    return line("Started", nodeid=nodeid) + b"".join(reports)


PASSED = ("passed", "passed", "passed")


def report_of(*pieces: bytes, **more: int | Mask) -> Report:
    report = Report(lambda result: None, **{"most_bytes": 2**20, "most_results": 100, **more})
    for piece in pieces:
        report.write(piece)
    report.close()
    return report


def whole(*tests: bytes, exit_status: int = 0) -> list[bytes]:
    return [line("Collected", count=len(tests)), *tests, line("SessionFinish", exitstatus=exit_status)]


@pytest.mark.parametrize(
    ("outcomes", "more", "expected"),
    [
        (PASSED, {}, "passed"),
        (("passed", "failed", "passed"), {}, "failed"),
        (("failed", "passed"), {}, "error"),
        (("passed", "passed", "failed"), {}, "error"),
        (("passed", "failed", "failed"), {}, "error"),
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

    assert 0 <= report.results[0].seconds <= LONGEST


def test_a_result_is_told_as_soon_as_its_last_phase_is_there():
    told: list[TestResult] = []
    report = Report(told.append, most_bytes=2**20, most_results=100)
    text = phases("test_a.py::test_x", *PASSED)

    report.write(text[:-1])
    assert told == []
    report.write(text[-1:])

    assert [result.nodeid for result in told] == ["test_a.py::test_x"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"no json\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"null\n",
        line("TestReport", nodeid="x"),
        line("TestReport", nodeid="x", when="call", outcome="wonderful"),
        line("TestReport", nodeid="x", when="call", outcome="failed", longrepr={"reprtraceback": 5}),
        line("Collected", count="many"),
        line("Collected", count=float("inf")),
        line("SessionFinish", exitstatus=float("inf")),
        line("TestReport", nodeid="x", when="call", outcome="passed", duration=10**400),
        line("TestReport", nodeid="x", when="call", outcome="failed", longrepr={"reprtraceback": {"reprentries": [0]}}),
        b'{"half": ',
        b"x" * (2**20 + 10),
        b"".join(line("Started", nodeid=str(number)) for number in range(200)),
    ],
)
def test_garbage_makes_a_report_unreadable_and_the_run_an_error(garbage):
    report = report_of(*whole(phases("test_a.py::test_x", *PASSED)), garbage, most_bytes=2**22)

    assert report.problem
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
        ([line("Collected", count=2), *whole(phases("a", *PASSED))[1:]], 0, Outcome.ERROR),
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
    assert verdict(report, -24, cpu_seconds=7)[1] == "The tests used up their 7 s of processor time."
    assert verdict(report_of(), 0)[1].endswith("did a test call os._exit()?")


def test_a_test_that_never_ended_is_an_error_and_told():
    report = report_of(line("Collected", count=1), line("Started", nodeid="a"))

    assert [(result.nodeid, result.outcome) for result in report.results] == [("a", "error")]
    assert report.results[0].message == "The run ended before this test did."


def test_too_many_tests_and_too_long_words_are_bounded():
    many = report_of(*(phases(str(number), *PASSED) for number in range(7)), most_results=5)
    long = report_of(*whole(phases("n" * 5000, "passed", "failed", "passed", longrepr="é" * 50_000)))

    assert len(many.results) == 5
    assert many.problem == "it has too many tests"
    assert len(long.results[0].nodeid) == 1000
    assert len(long.results[0].details) == DETAILS


def test_tests_with_long_ids_stay_apart():
    names = [f"test_a.py::test_x[{'n' * 3_000}{number}]" for number in range(2)]

    report = report_of(*whole(*(phases(name, *PASSED) for name in names)))

    assert len({result.nodeid for result in report.results}) == 2
    assert {len(result.nodeid) for result in report.results} == {1_000}


def test_tests_that_differ_in_a_secret_stay_apart():
    report = report_of(
        *whole(*(phases(f"test_a.py::test_x[{word}]", *PASSED) for word in ("hush-one", "hush-two"))),
        mask=Mask(["hush-one", "hush-two"]),
    )

    assert [result.nodeid for result in report.results] == ["test_a.py::test_x[***]", "test_a.py::test_x[***]~2"]


def test_no_cut_leaves_the_beginning_of_a_secret():
    secret = "s3cret" * 20
    longrepr = {
        "reprcrash": {"path": "a.py", "lineno": 1, "message": "m" * 980 + secret},
        "reprtraceback": {"reprentries": [{"data": {"lines": ["x" * (DETAILS - 1_100) + secret]}}]},
    }
    test = phases(f"test_a.py::test_x[{'n' * 950}{secret}]", "passed", "failed", "passed", longrepr=longrepr)

    (result,) = report_of(*whole(test), mask=Mask([secret])).results

    assert "s3cret" not in result.nodeid + result.message + result.details


def test_junit_is_pytests_own_if_it_is_whole():
    own = made_from([TestResult("a.py::test_x", "passed")], reason="")

    assert junit_xml(own, [], reason="") == own


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
        TestResult("smoke/test_a.py::test_x[\0\x1b]", "failed", 0.25, "assert <1> & 2", "trace\x00back"),
        TestResult("smoke/test_a.py::test_y", "skipped", message="not today"),
        TestResult("smoke/test_a.py::test_z", "error"),
    ]

    document = junit_xml(written, results, reason="It went wrong.")

    assert is_junit(document)
    suite = ElementTree.fromstring(document)[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "1"]
    assert suite[0].get("classname") == "smoke.test_a"
    assert suite.find("system-err").text == "It went wrong."
