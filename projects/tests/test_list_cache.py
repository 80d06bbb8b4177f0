"""The list cache: never a stale body after a commit, never an error, few database queries."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.test import Client
from redis import Redis

from accounts.tokens import issue_token
from core.list_cache import counts, entries, redis_link
from core.list_cache.redis_link import MAX_FAILURES, link
from projects import services
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Task

lists = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)
THREADS = 10  # as many as serve requests: config/asgi.py


def key(scope: str = "all", query: str = "") -> str:
    return entries.cache_key(kind="tasks", scope=scope, query=query)


class Source:
    """A list that counts how often its rows are read."""

    def __init__(self, body: bytes = b"[]") -> None:
        self.body = body
        self.asked = 0

    def read(self, scope: str = "all", query: str = "") -> bytes:
        return entries.get_or_build(key(scope, query), self.build).body

    def build(self) -> bytes:
        self.asked += 1
        return self.body


@pytest.fixture
def away(settings):
    """Make Redis refuse connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        link.forget()
        yield


def test_a_second_read_asks_nobody():
    source = Source()

    assert [source.read(), source.read()] == [b"[]", b"[]"]

    assert source.asked == 1


def test_readers_with_different_rights_or_questions_never_share_a_body():
    source = Source()

    source.read(scope="view_task")
    source.read(scope="view_task view_project")
    source.read(scope="view_task", query="page=2")

    assert source.asked == 3


@committed
def test_a_slow_reader_cannot_bring_back_what_was_replaced():
    project = ProjectFactory(name="old")
    has_read, has_committed = threading.Barrier(2, timeout=10), threading.Barrier(2, timeout=10)
    got: list[bytes] = []

    def build(wait: bool) -> bytes:
        project.refresh_from_db()
        body = project.name.encode()
        if wait:
            has_read.wait()  # the old generation has been read …
            has_committed.wait()  # … and the new one is committed before the body is stored
        return body

    def read(wait: bool) -> None:
        try:
            got.append(entries.get_or_build(key(), lambda: build(wait)).body)
        finally:
            connection.close()

    slow = threading.Thread(target=read, args=(True,))
    slow.start()
    has_read.wait()
    services.update_project(project=project, name="new")
    has_committed.wait()
    slow.join()
    read(False)
    read(False)

    assert got == [b"old", b"new", b"new"]


@committed
def test_the_generation_is_replaced_before_watchers_are_told(monkeypatch):
    """A subscriber reloads the list on the message, and must not get the stale one."""
    project, steps = ProjectFactory(), []
    execute = Redis.execute_command

    def noted(self, *command, **options):
        steps.extend(word for word in ("lists:generation", "PUBLISH") if word in f"{command}")
        return execute(self, *command, **options)

    monkeypatch.setattr(Redis, "execute_command", noted)

    services.update_project(project=project, name="new")

    assert steps == ["lists:generation", "PUBLISH"]


@committed
def test_the_generation_is_replaced_on_commit_and_not_by_a_rollback():
    source = Source()
    source.read()

    with transaction.atomic():
        entries.invalidate()
        source.read()
        transaction.set_rollback(True)
    source.read()
    assert source.asked == 1

    with transaction.atomic():
        entries.invalidate()
        entries.invalidate()
        source.read()
    source.read()
    assert source.asked == 2


@committed
def test_two_hundred_cold_readers_ask_the_database_a_few_times():
    asked = []

    def build() -> bytes:
        asked.append(1)
        time.sleep(0.02)
        return b"[]"

    def read(_: int) -> bytes:
        return entries.get_or_build(key(query="cold"), build).body

    with ThreadPoolExecutor(16) as readers:
        assert list(readers.map(read, range(200))) == [b"[]"] * 200

    assert len(asked) <= 5


def test_a_reader_who_asked_too_early_takes_what_was_stored_since(monkeypatch):
    source, look_up = Source(), entries._look_up
    asked_early = look_up(key())
    source.read()
    lookups = iter([lambda _: asked_early, look_up])
    monkeypatch.setattr(entries, "_look_up", lambda name: next(lookups)(name))

    assert source.read() == b"[]"

    assert source.asked == 1


@committed
def test_writers_and_readers_never_meet_an_old_list(planner):
    """Every reader that starts after a writer's response sees at least what that writer wrote."""
    task = TaskFactory(title="0")
    known, stop, stale = [0], time.monotonic() + 2, []

    def build() -> bytes:
        return Task.objects.values_list("title", flat=True).get(pk=task.pk).encode()

    def write() -> None:
        number = 0
        while time.monotonic() < stop:
            number += 1
            services.update_task(task=task, title=str(number))
            known[0] = number
        connections.close_all()

    def read() -> None:
        while time.monotonic() < stop:
            at_least = known[0]
            found = int(entries.get_or_build(key(), build).body)
            if found < at_least:
                stale.append((found, at_least))
        connections.close_all()

    people = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(6))]
    for person in people:
        person.start()
    for person in people:
        person.join()

    assert known[0] > 5
    assert stale == []


def test_without_redis_lists_come_from_the_database(away):
    source = Source()

    for _ in range(50):
        assert source.read() == b"[]"

    assert source.asked == 50


def test_a_replacement_that_failed_is_owed_and_made_up_for(settings, monkeypatch, away):
    woken: list[str] = []
    monkeypatch.setattr(entries, "wake", woken.append)

    entries.invalidate_now()
    assert entries.retry.pending
    assert woken == ["core.tasks.retry_invalidation"]
    assert Source().read() == b"[]"


@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_a_process_that_reads_no_lists_makes_up_for_what_it_could_not_replace(settings, monkeypatch, seconds):
    reader = Source()
    reader.read()
    there, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    monkeypatch.setattr(entries, "wake", lambda task: None)  # the broker is down as well
    link.forget()

    for _ in range(3):
        entries.invalidate_now()
    time.sleep(seconds)
    settings.REDIS_URL = there
    link._redis = None  # Redis is back, but this process neither reads nor writes

    until = time.monotonic() + 5
    while entries.retry.pending:
        assert time.monotonic() < until
        time.sleep(0.01)
    reader.read()
    assert reader.asked == 2


def test_an_invalidation_that_fails_while_a_retry_succeeds_is_retried_as_well(monkeypatch):
    replaced = threading.Semaphore(0)

    def replace() -> bool:
        if replaced.acquire(blocking=False):
            return True
        entries.retry.start()  # another writer's invalidation fails meanwhile
        replaced.release()
        return True

    monkeypatch.setattr(entries, "wake", lambda task: None)
    monkeypatch.setattr(entries, "RETRY_INTERVAL", 0.0)
    monkeypatch.setattr(entries, "_replace_generation", replace)

    entries.retry.start()

    until = time.monotonic() + 5
    while entries.retry.pending:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert not replaced.acquire(blocking=False)  # the second attempt came after the second failure


def test_nothing_is_read_from_redis_while_an_invalidation_is_pending():
    source = Source()
    source.read()
    entries.retry.pending = True

    source.read()
    assert source.asked == 2

    entries.retry.pending = False
    source.read()
    assert source.asked == 2


def test_a_silent_redis_is_left_alone_after_a_few_failures(settings):
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as taken:
        silent.setblocking(False)
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        link.forget()
        source = Source()

        for _ in range(20):
            source.read()

        assert source.asked == 20
        for _ in range(MAX_FAILURES):
            taken.enter_context(silent.accept()[0])
        with pytest.raises(BlockingIOError):  # without any other connection
            silent.accept()


def test_a_body_that_is_too_large_is_not_kept_and_no_reader_waits_for_it(monkeypatch):
    monkeypatch.setattr(entries, "WAIT_TIMEOUT", 3_600.0)  # a waiting reader would exceed the test's time limit
    source = Source(b"x" * (entries.MAX_ENTRY_BYTES + 1))
    source.read()

    source.read()

    assert source.asked == 2


def test_no_reader_waits_for_a_body_that_could_not_be_built(monkeypatch):
    monkeypatch.setattr(entries, "WAIT_TIMEOUT", 3_600.0)  # a waiting reader would exceed the test's time limit

    def broken() -> bytes:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            entries.get_or_build(key(), broken)


def test_hits_misses_and_bypasses_are_counted():
    source = Source()
    before = counts.totals()

    source.read()
    source.read()
    source.read()
    link.paused_until = time.monotonic() + 60
    source.read()
    link.paused_until = 0.0

    after = counts.totals()
    assert [after[number] - before[number] for number in range(3)] == [2, 1, 1]  # hits, misses, bypasses
    assert after.reachable
    assert counts.ReadCounts(hits=2, misses=1, bypasses=1, reachable=True).percent == 50


@lists
def test_a_list_has_an_etag_and_is_304_until_it_changes(planner_api):
    task = TaskFactory()
    first = planner_api.get("/tasks/")
    etag = first.headers["ETag"]

    same = planner_api.get("/tasks/", headers={"If-None-Match": etag})
    weak = planner_api.get("/tasks/", headers={"If-None-Match": f'"other", W/{etag}'})
    planner_api.patch(f"/tasks/{task.pk}/", {"title": "New"})
    changed = planner_api.get("/tasks/", headers={"If-None-Match": etag})

    assert (same.status_code, same.content, weak.status_code) == (304, b"", 304)
    assert changed.status_code == 200
    assert changed.json()["results"][0]["title"] == "New"
    assert first.headers["Cache-Control"] == "private, no-cache"


@lists
def test_a_cached_list_asks_for_permissions_only_and_asks_every_time(
    planner_api, planner, django_assert_max_num_queries
):
    TaskFactory()
    planner_api.get("/tasks/")

    with django_assert_max_num_queries(2):  # the user's and the groups' permissions
        assert planner_api.get("/tasks/").status_code == 200

    planner.groups.clear()
    planner_api.force_authenticate(User.objects.get(pk=planner.pk))
    assert planner_api.get("/tasks/").status_code == 403


@lists
@pytest.mark.parametrize(
    "write",
    [
        lambda task: services.create_task(project=task.project, title="x"),
        lambda task: services.update_task(task=task, title="x"),
        lambda task: services.update_tasks(ids=[task.pk], priority="high"),
        lambda task: services.delete_task(task=task),
        lambda task: services.update_project(project=task.project, name="x"),
        lambda task: services.delete_project(project=task.project),
        lambda task: services.create_project(name="x"),
    ],
)
def test_every_verb_makes_lists_new(write):
    task, source = TaskFactory(), Source()
    source.read()

    write(task)
    source.read()

    assert source.asked == 2


@lists
def test_a_person_who_is_renamed_is_renamed_in_lists_and_a_login_changes_nothing(planner):
    source = Source()
    source.read()

    planner.save(update_fields=["last_login"])
    source.read()
    assert source.asked == 1

    planner.username = "paul"
    planner.save()
    source.read()
    assert source.asked == 2


@committed
def test_two_hundred_cold_readers_over_http_cost_one_count_and_one_page(monkeypatch):
    """As many threads as the server has. Every reader except the first has all of the work to do."""
    monkeypatch.setattr(entries, "WAIT_TIMEOUT", 30.0)  # long enough for a slow machine
    monkeypatch.setattr(redis_link, "TIMEOUT", 30.0)
    link.forget()
    TaskFactory.create_batch(3)
    token = issue_token(user=User.objects.create_superuser("root"))[1]
    asked: list[str] = []

    def watch(execute, sql, params, many, context):
        asked.append(sql)
        return execute(sql, params, many, context)

    def read(_: int) -> int:
        with connection.execute_wrapper(watch):
            return Client(headers={"Authorization": f"Token {token}"}).get("/tasks/").status_code

    def leave(_: int) -> None:
        together.wait()  # one in each thread
        connections.close_all()

    together = threading.Barrier(THREADS, timeout=30)
    with ThreadPoolExecutor(THREADS) as readers:
        assert list(readers.map(read, range(200))) == [200] * 200
        list(readers.map(leave, range(THREADS)))

    assert sum('FROM "projects_task"' in sql for sql in asked) == 2
    # The caller and permissions: one query in the middleware, and again in REST framework if nothing was cached.
    assert len(asked) - 2 <= 200 + 2 * THREADS + THREADS
