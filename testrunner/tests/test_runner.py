"""Runs from claim to record, with a small function in place of the executor."""

import contextlib
import json
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection
from django.db.models import F

from live.models import OutboxMessage
from testrunner import services
from testrunner.files.snapshot import Snapshot
from testrunner.models import EnvironmentVariable, LogChunk, TestEnvironment, TestRun
from testrunner.queue import claims, leases
from testrunner.queue.leases import Lease
from testrunner.sandbox.boottime import boottime
from testrunner.sandbox.results.outcome import Finished, Outcome, TestOutcome
from testrunner.worker import result_writer, runner

pytestmark = pytest.mark.django_db(transaction=True)
PASSED = TestOutcome("samples/test_success.py::test_ok", "passed", 0.01)
FAILED = TestOutcome("samples/test_success.py::test_bad", "failed", 0.02, "assert 1 == 2", "a\nb")


@pytest.fixture
def run(tester, environment, file) -> TestRun:
    return services.start_run(user=tester, environment=environment, files=[file])


@pytest.fixture(autouse=True)
def _no_connection_left():
    """Wait until the lease thread has no lease left, because it then closes its connection to the test's database."""
    yield
    assert eventually(lambda: not leases.renewer._leases)


def eventually(condition) -> bool:
    return any(condition() or time.sleep(0.05) for _ in range(400))


def success(spec, *, on_log, on_result, **_) -> Finished:
    on_log(b"hello\n")
    on_result(PASSED)
    return Finished(Outcome.SUCCESS, "", 0, [PASSED], "<testsuites/>", "no walls", 6, 0, 0.1)


def ended(run: TestRun) -> TestRun:
    run.refresh_from_db()
    return run


def log_of(run: TestRun) -> bytes:
    return b"".join(bytes(chunk.data) for chunk in LogChunk.objects.filter(run=run).order_by("offset"))


def test_a_run_leaves_its_outcome_log_and_results(run):
    assert runner.execute_runs("runner@here", success) == 1

    assert (ended(run).status, run.reason, run.exit_code, run.worker) == ("success", "", 0, "runner@here")
    assert (run.tests, run.passed, run.failed) == (1, 1, 0)
    assert (log_of(run), run.log_size) == (b"hello\n", 6)
    assert run.junit_xml == "<testsuites/>"
    assert run.sandbox == "no walls"
    result = run.results.get()
    assert (result.nodeid, result.name, result.path, result.environment_id) == (
        "samples/test_success.py::test_ok",
        "test_ok",
        "samples/test_success.py",
        17,
    )


def test_the_tests_get_the_bytes_and_what_their_environment_says(run):
    EnvironmentVariable.objects.create(environment_id=17, name="API_URL", value="https://seventeen.example")
    seen = []

    def look(spec, **callbacks):
        seen.append(spec)
        return success(spec, **callbacks)

    runner.execute_runs("w", look)

    (spec,) = seen
    (file,) = spec.files
    assert (file.path, file.content) == ("samples/test_success.py", b"def test_ok():\n    assert True\n")
    assert spec.environment == {
        "API_URL": "https://seventeen.example",
        "TEST_ENVIRONMENT_ID": "17",
        "TEST_ENVIRONMENT_NAME": "Environment 17",
    }
    assert spec.limits.wall_seconds == run.wall_seconds


def test_a_worker_that_cannot_run_it_says_why(run):
    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    runner.execute_runs("w", broken)

    assert ended(run).status == "error"
    assert "No space left on device" in run.reason


def test_what_was_told_before_it_went_wrong_is_kept(run):
    def breaks(spec, *, on_log, on_result, **_):
        on_log(b"one\n")
        on_log(b"two\n")
        on_result(PASSED)
        raise OverflowError("cannot convert float infinity to integer")

    runner.execute_runs("w", breaks)

    assert (ended(run).status, log_of(run), run.results.count()) == ("error", b"one\ntwo\n", 1)


def test_results_and_log_are_there_while_it_runs(run):
    seen = []

    def slow(spec, *, on_log, on_result, should_stop, **_):
        on_log(b"one\n")
        on_result(FAILED)
        time.sleep(result_writer.FLUSH_INTERVAL)
        should_stop()
        seen.append((log_of(run), list(run.results.values_list("outcome", flat=True)), ended(run).failed))
        return Finished(Outcome.FAILED, "1 failed.", 1, [FAILED])

    runner.execute_runs("w", slow)

    assert seen == [(b"one\n", ["failed"], 1)]


def test_a_worker_goes_on_until_nothing_can_start(tester, environment, file, run):
    later = services.start_run(user=tester, environment=environment, files=[file])

    assert runner.execute_runs("w", success) == 2
    assert runner.execute_runs("w", success) == 0
    assert ended(run).finished_at <= ended(later).started_at


def test_whoever_asks_to_cancel_stops_the_run(run, tester, monkeypatch):
    monkeypatch.setattr(leases, "CHECK_INTERVAL", 0.05)

    def endless(spec, *, should_stop, **_):
        services.cancel_run(run=run, user=tester)
        while not (reason := should_stop()):
            time.sleep(0.02)
        return Finished(reason.outcome, reason.reason, None)

    runner.execute_runs("w", endless)

    assert (ended(run).status, run.reason) == ("cancelled", "Cancelled by tess while it ran.")


def test_a_lease_is_renewed_by_the_databases_clock(run, monkeypatch):
    monkeypatch.setattr(leases, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(leases, "RENEW_INTERVAL", 0.1)
    found = []

    def long(spec, **_):
        TestRun.objects.filter(pk=run.pk).update(lease_until=claims.database_now())
        found.append(eventually(lambda: ended(run).lease_until - claims.database_now() > timedelta(seconds=29)))
        return Finished(Outcome.ERROR, "enough", 1)

    runner.execute_runs("w", long)

    assert found == [True]


@pytest.mark.parametrize("kind", [OperationalError, OSError, RuntimeError])
def test_leases_are_renewed_after_whatever_went_wrong_once(run, monkeypatch, kind):
    monkeypatch.setattr(leases, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(leases, "RENEW_INTERVAL", 0.1)
    usual, failures = leases.Lease.renew, [kind("once")]
    found = []

    def renew(self):
        if failures:
            raise failures.pop()
        usual(self)

    monkeypatch.setattr(leases.Lease, "renew", renew)

    def long(spec, **_):
        TestRun.objects.filter(pk=run.pk).update(lease_until=claims.database_now())
        found.append(eventually(lambda: ended(run).lease_until - claims.database_now() > timedelta(seconds=29)))
        return Finished(Outcome.ERROR, "enough", 1)

    runner.execute_runs("w", long)

    assert (found, failures) == ([True], [])


def test_a_keeper_whose_thread_has_died_starts_another(monkeypatch):
    monkeypatch.setattr(leases, "CHECK_INTERVAL", 0.01)
    renewer, lease = leases.LeaseRenewer(), Lease(0, 0, boottime())
    renewer._thread = threading.Thread(target=lambda: None)
    renewer._thread.start()
    renewer._thread.join()
    monkeypatch.setattr(renewer, "_renew_periodically", lambda: time.sleep(0.5))

    with renewer.renewing(lease):
        assert renewer._thread.is_alive()


def test_the_supervisor_is_told_how_long_the_lease_lasts(run, monkeypatch):
    monkeypatch.setattr(leases, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(leases, "RENEW_INTERVAL", 0.1)
    told = []

    class SupervisorClient:
        extend_lease = told.append

    def long(spec, *, on_started, **_):
        on_started(SupervisorClient)
        assert eventually(lambda: len(told) > 2)
        return Finished(Outcome.ERROR, "enough", 1)

    runner.execute_runs("w", long)

    assert ended(run).reason == "enough"
    assert all(leases.GIVE_UP_AFTER - 5 < seconds <= leases.GIVE_UP_AFTER for seconds in told)


def test_a_worker_whose_run_was_taken_writes_nothing_more(run, monkeypatch):
    """The late worker continues after its run was marked as lost and the next run is active."""
    stopped = threading.Event()

    def late(spec, *, on_log, on_result, should_stop, **_):
        TestRun.objects.filter(pk=run.pk).update(
            status="lost", reason="not heard of", lease_until=None, finished_at=claims.database_now()
        )
        on_log(b"too late\n")
        stopped.set()
        raise AssertionError("nobody stopped it")

    runner.execute_runs("w", late)

    assert (ended(run).status, run.log_size, log_of(run)) == ("lost", 0, b"")
    assert not stopped.is_set()


def test_an_old_token_is_refused_though_the_run_is_active(run):
    claimed = claims.claim(17, "w")
    mine = Lease(claimed.pk, claimed.lease_token, boottime())
    TestRun.objects.update(lease_token=F("lease_token") + 1)

    runner.execute_run(claimed, mine, success)

    assert (ended(run).status, run.log_size, run.results.count()) == ("running", 0, 0)


def test_without_a_renewal_for_15_seconds_the_run_is_given_up(run, monkeypatch):
    """The worker cannot know the lease's state any more, whatever the database says."""
    claimed = claims.claim(17, "w")
    lease = Lease(claimed.pk, claimed.lease_token, boottime() - 15.1)
    asked = []

    def careful(spec, *, should_stop, **_):
        asked.append(1)
        should_stop()
        raise AssertionError("nobody stopped it")

    runner.execute_run(claimed, lease, careful)

    assert (asked, ended(run).status) == ([1], "running")


def test_a_run_whose_thread_does_nothing_any_more_is_given_up_though_its_worker_lives(run, monkeypatch):
    for name, seconds in {
        "CHECK_INTERVAL": 0.05,
        "RENEW_INTERVAL": 0.1,
        "GIVE_UP_AFTER": 0.5,
        "MAX_OVERTIME": 0.0,
    }.items():
        monkeypatch.setattr(leases, name, seconds)
    TestRun.objects.filter(pk=run.pk).update(wall_seconds=1)
    found = []

    def hangs(spec, **_):
        found.append(leases.renewer.is_stuck())
        found.append(eventually(leases.renewer.is_stuck))
        return success(spec, on_log=lambda piece: None, on_result=lambda result: None)

    runner.execute_runs("w", hangs)

    assert found == [False, True]
    assert ended(run).status == "running"  # until the sweeper finds that its lease has expired


def test_a_worker_that_is_told_to_stop_ends_its_run_as_lost_and_claims_no_other(
    run, tester, environment, file, monkeypatch, settings
):
    settings.TESTRUN_STOP_SECONDS = 0
    monkeypatch.setattr(runner._Stop, "at", None)
    waiting = services.start_run(user=tester, environment=environment, files=[file])

    def long(spec, *, should_stop, **_):
        assert should_stop() is None
        runner.stop_soon()
        stop = should_stop()
        return Finished(stop.outcome, stop.reason, None)

    assert runner.execute_runs("w", long) == 1
    assert (ended(run).status, run.reason) == ("lost", "The worker was stopped while the run was active.")
    assert ended(waiting).status == "queued"


@contextlib.contextmanager
def database_away(monkeypatch, kind: type[Exception], times: int):
    """Let the next transactions of ResultWriter commit, but lose the confirmation, as if the connection broke just
    then.
    """
    usual, left = result_writer.ResultWriter._write, [times]

    def write(self, piece, results):
        usual(self, piece, results)
        if left[0]:
            left[0] -= 1
            raise kind("server closed the connection unexpectedly")

    monkeypatch.setattr(result_writer.ResultWriter, "_write", write)
    monkeypatch.setattr(result_writer, "RETRY_INTERVAL", 0.01)
    yield


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, DatabaseError])
def test_what_was_committed_though_nobody_heard_of_it_is_not_there_twice(run, monkeypatch, kind):
    def chatty(spec, *, on_log, on_result, should_stop, **_):
        for number in range(5):
            on_log(f"line {number}\n".encode())
            on_result(TestOutcome(f"test_a.py::test_{number}", "failed"))
            time.sleep(0.02)
        return Finished(Outcome.FAILED, "5 failed.", 1)

    with database_away(monkeypatch, kind, times=3):
        runner.execute_runs("w", chatty)

    assert ended(run).status == "failed"
    assert log_of(run) == b"line 0\nline 1\nline 2\nline 3\nline 4\n"
    assert [run.log_size, run.results.count(), run.failed] == [35, 5, 5]


def test_postgres_gone_for_a_moment_is_waited_for(run):
    def unlucky(spec, *, on_log, **_):
        on_log(b"before\n")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
            pids = {pid for (pid,) in cursor.fetchall()} - {cursor.connection.info.backend_pid}
            for pid in pids:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            with contextlib.suppress(OperationalError):
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        on_log(b"after\n")
        return Finished(Outcome.ERROR, "enough", 1)

    runner.execute_runs("w", unlucky)

    assert (ended(run).status, log_of(run)) == ("error", b"before\nafter\n")


def test_an_id_too_long_for_an_index_is_stored_all_the_same(run):
    names = [f"test_a.py::test_x[{'ä' * 900}{number}]" for number in range(2)]

    def many(spec, *, on_result, **_):
        for name in names:
            on_result(TestOutcome(name, "failed"))
        return Finished(Outcome.FAILED, "2 failed.", 1)

    runner.execute_runs("w", many)

    assert run.results.count() == 2


@pytest.mark.parametrize("pause", [0, 2 * result_writer.FLUSH_INTERVAL])
def test_a_test_that_is_told_of_twice_has_the_last_result(run, pause):
    """A forged line of a report names the same test as another one, in the same batch or in a later one."""

    def forged(spec, *, on_result, should_stop, **_):
        for outcome in ("passed", "failed"):
            on_result(TestOutcome("test_a.py::test_a", outcome))
            time.sleep(pause)
            should_stop()
        return Finished(Outcome.FAILED, "1 failed.", 1)

    runner.execute_runs("w", forged)

    assert (ended(run).status, run.reason) == ("failed", "1 failed.")
    assert (run.tests, run.passed, run.failed) == (1, 0, 1)
    assert run.results.get().outcome == "failed"


LEAKY = b"""
import os, sys, pytest
key = os.environ["API_KEY"]
sys.stdout.write("the key is hush-"); sys.stdout.flush()
sys.stdout.write("hush, and hush\\n")
@pytest.mark.parametrize("key", [key])
def test_b(key):
    assert key == "x"
"""


def test_secrets_stay_out_of_everything(tester, environment):
    EnvironmentVariable.objects.create(environment_id=17, name="API_KEY", value="hush-hush", secret=True)
    run = services.start_run(user=tester, environment=environment, files=[Snapshot("samples", "test_a.py", LEAKY)])

    runner.execute_runs("w")

    result = run.results.get()
    assert b"the key is ***, and hush\n" in log_of(run)
    assert (result.nodeid, result.name) == ("samples/test_a.py::test_b[***]", "test_b[***]")
    assert result.message.startswith("AssertionError: assert '***' == 'x'")
    assert (ended(run).status, run.reason) == ("failed", "1 of 1 test failed.")
    assert 'name="test_b[***]"' in run.junit_xml
    stored = [
        log_of(run).decode(),
        result.details,
        run.junit_xml,
        *OutboxMessage.objects.values_list("data", flat=True),
    ]
    assert "hush-hush" not in str(stored)


def test_a_secret_in_the_reason_why_a_run_could_not_start_is_redacted(run):
    EnvironmentVariable.objects.create(environment_id=17, name="API_KEY", value="hush-hush", secret=True)

    def broken(spec, **_):
        raise OSError(2, "No such file", "/srv/hush-hush")

    runner.execute_runs("w", broken)

    assert ended(run).reason.endswith("No such file: '/srv/***'")


def test_a_result_that_cannot_be_stored_ends_the_run_in_words(run, monkeypatch):
    def broken(self, piece, results):
        raise DataError("value too long")

    monkeypatch.setattr(result_writer.ResultWriter, "_write", broken)

    runner.execute_runs("w", success)

    assert ended(run).status == "error"
    assert "value too long" in run.reason


def test_many_tests_with_long_names_do_not_break_the_run_that_announces_them(run):
    told = [TestOutcome(f"samples/test_success.py::test_{'я' * 900}_{number}", "passed") for number in range(25)]

    def names(spec, *, on_log, on_result, **_):
        for result in told:
            on_result(result)
        return Finished(Outcome.SUCCESS, "", 0, told)

    runner.execute_runs("w", names)

    assert (ended(run).status, run.tests, run.results.count()) == ("success", 25, 25)
    messages = [json.loads(event.data) for event in OutboxMessage.objects.filter(type="testrun.log")]
    assert sum(len(message["results"]) for message in messages) > 0
    assert all(message["id"] == run.pk and message["tests"] for message in messages)


def test_an_outcome_that_cannot_be_written_ends_the_run_as_an_error_and_the_next_one_starts(
    run, tester, environment, file
):
    following = services.start_run(user=tester, environment=environment, files=[file])

    def strange(spec, **given):
        finished = success(spec, **given)
        return replace(finished, exit_code=2**40, outcome=Outcome.FAILED) if not done else finished

    done: list[int] = []
    assert runner.execute_runs("w", lambda *given, **more: (strange(*given, **more), done.append(1))[0]) == 2

    assert ended(run).status == "error"
    assert run.reason == "Its outcome could not be stored (DataError): see the worker's log."
    assert ended(following).status == "success"


def test_variables_that_cannot_be_read_end_the_run_as_an_error(run, monkeypatch):
    def broken(run, lease):
        raise RuntimeError("no variables")

    monkeypatch.setattr(runner, "_spec", broken)

    runner.execute_runs("w", success)

    assert (ended(run).status, run.reason.partition("(")[2][:12]) == ("error", "RuntimeError")


def test_a_clock_that_is_set_back_takes_no_success_away(run):
    """The row is as if the clock had been set back by an hour after the run was queued."""
    later = claims.database_now() + timedelta(hours=1)
    TestRun.objects.filter(pk=run.pk).update(queued_at=later)

    runner.execute_runs("w", success)

    assert (ended(run).status, run.queued_at, run.started_at, run.finished_at) == ("success", later, later, later)


def test_starting_a_run_writes_no_history_of_its_environment(run, environment):
    before = environment.history.count()

    runner.execute_runs("w", success)

    assert ended(run).lease_token == TestEnvironment.objects.get(pk=17).generation
    assert environment.history.count() == before
