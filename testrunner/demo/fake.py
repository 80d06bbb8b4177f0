"""Fake test runs by INSERT … SELECT: a hundred thousand in seconds, for demos, tests and load.

Each environment gets every hundredth run, and no run takes longer than the time to the next one there. So runs in one
environment never overlap. Every fifth test of a file is flaky.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection, transaction

from testrunner.models import EnvironmentVariable, TestRun

DEMO_RUNS, DEMO_DAYS = 300, 7
FILES = [
    "test_basket.py", "test_checkout.py", "test_login.py", "test_payment.py",
    "test_profile.py", "test_refund.py", "test_search.py", "test_shipping.py",
]  # fmt: skip
PEOPLE = ["tester", "tess", "cole", "release 2.1", "nightly"]

# `fate` is the status of a run that ended without judging its tests; NULL for all others.
_RUNS = """
CREATE TEMPORARY TABLE fake_run ON COMMIT DROP AS
SELECT nextval(pg_get_serial_sequence('testrunner_testrun', 'id')) AS id, number, 1 + number * 37 %% 100 AS environment,
       (%(files)s::text[])[1 + number %% cardinality(%(files)s::text[])] AS path, 4 + number %% 5 AS tests,
       CASE WHEN luck < 0.03 THEN 'error' WHEN luck < 0.05 THEN 'timed_out' WHEN luck < 0.07 THEN 'cancelled'
            WHEN luck < 0.08 THEN 'lost' END AS fate,
       now() - %(days)s * interval '1 day' * (%(total)s - number + 1) / %(total)s AS queued,
       least(3 + number %% 8 * 6 + random() * 4, %(days)s * 86400.0 * 80 / %(total)s) AS took
FROM (SELECT number, random() AS luck FROM generate_series(1, %(total)s) AS number ORDER BY number) AS numbers
"""
_RESULTS = """
CREATE TEMPORARY TABLE fake_result ON COMMIT DROP AS
SELECT id AS run, environment, path, 'test_' || (ARRAY['opens', 'adds', 'removes', 'finds', 'sorts', 'counts', 'undoes',
       'saves'])[test] || (ARRAY['_one', '_many', '_none'])[1 + test %% 3] AS name, took / tests AS seconds,
       CASE WHEN random() < CASE WHEN test %% 5 = 0 THEN 0.2 ELSE 0.01 END THEN 'failed'
            WHEN random() < 0.03 THEN 'skipped' ELSE 'passed' END AS outcome
FROM fake_run, generate_series(1, tests) AS test WHERE fate IS NULL
"""
_ADD_RUNS = """
INSERT INTO testrunner_testrun (
    id, environment_id, requested_by, status, reason, selection, wall_seconds, files_key, queued_at, started_at,
    finished_at, cancel_requested_at, worker, lease_token, sandbox, exit_code, tests, passed, failed, skipped, errors,
    log_size, log_dropped, junit_xml, tasks_due
)
SELECT run.id, environment, (%(people)s::text[])[1 + number %% cardinality(%(people)s::text[])],
       coalesce(fate, CASE WHEN failed > 0 THEN 'failed' ELSE 'success' END),
       CASE fate WHEN 'error' THEN 'No tests were found.' WHEN 'timed_out' THEN 'Not finished in time.'
            WHEN 'cancelled' THEN 'Cancelled by tess while it ran.'
            WHEN 'lost' THEN 'Its worker runner@old was not heard of for 35 s.'
            ELSE CASE WHEN failed > 0 THEN failed || ' of ' || counted || ' tests failed.' ELSE '' END END,
       '[]', %(wall)s, encode(sha256(convert_to('samples/' || path || E'\\n', 'UTF8')), 'hex'), queued,
       queued + interval '1 second', queued + interval '1 second' * (1 + took),
       CASE WHEN fate = 'cancelled' THEN queued + interval '2 seconds' END, 'runner@old', 0, '',
       CASE WHEN fate IS NULL THEN sign(failed) WHEN fate = 'error' THEN 5 END, coalesce(counted, 0),
       coalesce(passed, 0), coalesce(failed, 0), coalesce(skipped, 0), 0, 0, 0, '', false
FROM fake_run AS run LEFT JOIN (
    SELECT run, count(*) AS counted, count(*) FILTER (WHERE outcome = 'passed') AS passed,
           count(*) FILTER (WHERE outcome = 'failed') AS failed, count(*) FILTER (WHERE outcome = 'skipped') AS skipped
    FROM fake_result GROUP BY run
) AS came_of ON came_of.run = run.id
ORDER BY run.id
"""
_ADD_RESULTS = """
INSERT INTO testrunner_testresult (
    run_id, environment_id, nodeid, path, name, outcome, duration, message, details
)
SELECT run, environment, 'samples/' || path || '::' || name, 'samples/' || path, name, outcome, seconds,
       CASE outcome WHEN 'failed' THEN 'assert 1 == 2' WHEN 'skipped' THEN 'not on this system' ELSE '' END, ''
FROM fake_result ORDER BY run, name
"""
_ADD_FILES = """
INSERT INTO testrunner_runfile (run_id, position, root, path, sha256, size, content)
SELECT id, 0, 'samples', path, encode(sha256(%(content)s), 'hex'), length(%(content)s), %(content)s
FROM fake_run ORDER BY id
"""
_ADD_LOGS = """
WITH made AS (
    INSERT INTO testrunner_logchunk (run_id, "offset", data)
    SELECT run, 0, convert_to(string_agg(path || '::' || name || ' ' || upper(outcome), E'\\n' ORDER BY name) || E'\\n',
                              'UTF8')
    FROM fake_result GROUP BY run RETURNING run_id, length(data) AS size
)
UPDATE testrunner_testrun SET log_size = made.size FROM made WHERE testrunner_testrun.id = made.run_id
"""


def create_fake_test_runs(total: int, days: int = 30) -> None:
    """Create `total` finished runs, spread evenly over the last `days` days, in one transaction."""
    values: dict[str, Any] = {
        "total": total, "days": days, "files": FILES, "people": PEOPLE, "wall": settings.TESTRUN_DEFAULT_SECONDS,
        "content": b"def test_opens_one():\n    pass\n",
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        for step in (_RUNS, _RESULTS, _ADD_RUNS, _ADD_RESULTS, _ADD_FILES, _ADD_LOGS):
            cursor.execute(step, values)


@transaction.atomic
def create_demo_test_runs() -> None:
    """Create a week of runs and a variable with an address to test, each only if none exist yet."""
    if not EnvironmentVariable.objects.exists():
        EnvironmentVariable.objects.create(
            environment_id=17, name="API_URL", value=f"http://127.0.0.1:{settings.PORT}/ping/"
        )
    if not TestRun.objects.exists():
        create_fake_test_runs(DEMO_RUNS, DEMO_DAYS)
