"""The embedded PostgreSQL and Valkey: found, shared, stopped by the last user, never confused with other processes."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from config.local import embedded, launcher
from config.local.embedded.home import Home, private_folder
from config.local.embedded.postgres import as_unprivileged

PROJECT = Path(__file__).resolve().parents[2]
USER = """
import os, sys
from config.local import embedded
try:
    embedded.use(durable=sys.argv[1] == "durable", keep=float(sys.argv[2]))
except embedded.EmbeddedError as error:
    sys.exit(str(error))
print(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], os.environ["CELERY_BROKER_URL"], flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the embedded services until `leave`."""

    def __init__(self, home: Path, durability: str = "", keep: float = 0) -> None:
        named = (*embedded.SERVICES, "OPSROOM_LOCAL", "SECRET_KEY")
        env = {name: value for name, value in os.environ.items() if name not in named} | {"OPSROOM_HOME": str(home)}
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, durability, str(keep)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=env,
        )
        self.urls = self.process.stdout.readline().split()

    def servers(self) -> set[psutil.Process]:
        pids = [self.home / "postgres" / "data" / "postmaster.pid", self.home / "run" / "valkey.pid"]
        return {psutil.Process(int(path.read_text().split()[0])) for path in pids}

    def query(self, sql: str) -> object:
        folder = re.fullmatch(r"postgres://opsroom@:5432/(/.*)/opsroom", self.urls[0])[1]
        connection = psycopg2.connect(host=folder, port=5432, user="opsroom", dbname="opsroom")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
        connection.close()
        return row[0] if row else None

    def leave(self) -> str:
        _, said = self.process.communicate()
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def new_home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data folder of a stopped PostgreSQL. Creating it takes longer than starting it."""
    home = tmp_path_factory.mktemp("made") / "home"
    User(home).leave()
    return home / "postgres" / "data"


@pytest.fixture
def home(new_home: Path, made: Path) -> Path:
    for folder in (new_home, new_home / "postgres"):
        folder.mkdir(mode=0o700)
    subprocess.run(["cp", "-a", made, new_home / "postgres"], check=True)
    return new_home


@pytest.fixture
def arrive() -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def arrive(home: Path, durability: str = "", keep: float = 0) -> User:
        users.append(User(home, durability, keep))
        return users[-1]

    yield arrive
    for user in users:
        if user.process.poll() is None:
            user.leave()
    for stopper in [stopper for home in {user.home for user in users} for stopper in idle_stoppers(home)]:
        stopper.terminate()
        until_gone(stopper)


def idle_stoppers(home: Path) -> list[psutil.Process]:
    here = [each for each in psutil.process_iter(["cmdline", "cwd"]) if each.info["cwd"] == str(home)]
    return [each for each in here if "config.local.embedded.stop_when_idle" in each.info["cmdline"]]


def all_gone(servers: set[psutil.Process]) -> bool:
    return not any(server.is_running() and server.status() != psutil.STATUS_ZOMBIE for server in servers)


def until_gone(process: psutil.Process) -> None:
    deadline = time.monotonic() + 30
    while not all_gone({process}):
        assert time.monotonic() < deadline
        time.sleep(0.05)


Arrive = Callable[..., User]


def test_the_servers_are_shared_and_the_last_user_stops_them(home: Path, arrive: Arrive) -> None:
    first, second = arrive(home), arrive(home)
    servers = first.servers()
    assert second.urls == first.urls and len(servers) == 2

    first.leave()
    assert second.query("SELECT 1") == 1

    second.leave()
    assert all_gone(servers)


# --- Kept between users ------------------------------------------------------------------------------
def test_kept_servers_are_used_again_and_end_when_nobody_has_used_them_for_a_while(home: Path, arrive: Arrive) -> None:
    first = arrive(home, keep=1.0)
    servers = first.servers()
    first.leave()
    assert not all_gone(servers)

    second = arrive(home, keep=1.0)
    assert second.servers() == servers and second.query("SELECT 1") == 1
    [stopper] = idle_stoppers(home)
    second.leave()

    until_gone(stopper)
    assert all_gone(servers)


@pytest.mark.thorough
def test_kept_servers_stay_while_they_are_used_and_after_a_kill_until_their_time(home: Path, arrive: Arrive) -> None:
    user = arrive(home, keep=0.2)
    servers = user.servers()
    [stopper] = idle_stoppers(home)
    time.sleep(1.0)
    assert not all_gone({stopper}) and not all_gone(servers)

    user.kill()

    until_gone(stopper)
    assert all_gone(servers)


@pytest.mark.thorough
def test_sigterm_ends_an_idle_stopper_and_its_servers_at_once_unless_they_are_used(home: Path, arrive: Arrive) -> None:
    user = arrive(home, keep=900.0)
    servers = user.servers()
    [stopper] = idle_stoppers(home)
    while (home / "run" / "stop_when_idle.lock").read_text() != f"{stopper.pid}\n":  # until it handles signals
        time.sleep(0.05)
    stopper.terminate()
    time.sleep(0.5)
    assert not all_gone({stopper})
    user.leave()
    assert not all_gone(servers)

    stopper.terminate()

    until_gone(stopper)
    assert all_gone(servers)


def test_without_their_idle_stopper_the_last_user_stops_the_servers(home: Path, arrive: Arrive) -> None:
    user = arrive(home, keep=900.0)
    servers = user.servers()
    [stopper] = idle_stoppers(home)
    stopper.kill()
    until_gone(stopper)

    user.leave()

    assert all_gone(servers)


@pytest.mark.thorough
def test_kept_servers_end_though_their_folder_was_deleted(home: Path, arrive: Arrive) -> None:
    user = arrive(home, keep=0.2)
    servers = user.servers()
    [stopper] = idle_stoppers(home)
    shutil.rmtree(home, ignore_errors=True)

    user.kill()

    until_gone(stopper)
    assert all_gone(servers)


@pytest.mark.thorough
def test_servers_of_older_code_are_started_again(home: Path, arrive: Arrive) -> None:
    user = arrive(home, keep=900.0)
    servers = user.servers()
    user.leave()
    file = PROJECT / "config" / "local" / "embedded" / "valkey.py"
    before = file.stat()
    try:
        os.utime(file)

        heir = arrive(home)
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert not heir.servers() & servers and heir.query("SELECT 1") == 1


def test_the_data_is_still_there_after_a_restart(home: Path, arrive: Arrive) -> None:
    user = arrive(home)
    user.query("CREATE TABLE kept AS SELECT 42 AS answer")
    user.leave()

    assert arrive(home).query("SELECT answer FROM kept") == 42


def test_a_killed_user_leaves_servers_that_the_next_one_uses_and_stops(home: Path, arrive: Arrive) -> None:
    user = arrive(home)
    servers = user.servers()
    user.kill()

    heir = arrive(home)
    assert heir.servers() == servers

    heir.leave()
    assert all_gone(servers)


def test_killed_servers_are_started_again_with_their_data(home: Path, arrive: Arrive) -> None:
    user = arrive(home, "durable")
    user.query("CREATE TABLE kept AS SELECT 42 AS answer")
    servers = user.servers()
    for server in servers:
        server.kill()
    user.kill()

    heir = arrive(home)
    assert heir.query("SELECT answer FROM kept") == 42
    assert not heir.servers() & servers


def test_sigterm_stops_the_servers_too(home: Path, arrive: Arrive) -> None:
    user = arrive(home)
    servers = user.servers()

    user.process.send_signal(signal.SIGTERM)
    user.process.communicate()

    assert user.process.returncode == 128 + signal.SIGTERM and all_gone(servers)


def test_a_process_that_inherited_a_stale_pid_is_left_alone(home: Path, arrive: Arrive) -> None:
    arrive(home).leave()
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    (home / "postgres" / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n/elsewhere\n")
    (home / "run" / "valkey.pid").write_text(str(stranger.pid))

    user = arrive(home)
    assert user.query("SELECT 1") == 1
    user.leave()

    assert stranger.poll() is None
    stranger.communicate()


def test_a_data_folder_that_was_killed_in_the_making_is_made_anew(new_home: Path, arrive: Arrive) -> None:
    half_made = new_home / "postgres" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    assert arrive(new_home).query("SELECT 1") == 1
    assert not half_made.exists()


def test_the_data_of_another_major_version_is_explained_in_one_sentence(new_home: Path, arrive: Arrive) -> None:
    data = new_home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")

    said = arrive(new_home).leave().strip()

    assert "was made by PostgreSQL 15 and 18 is installed" in said and "DATABASE_URL" in said
    assert len(said.splitlines()) == 1


def test_a_long_and_odd_path_puts_the_sockets_below_tmp_and_takes_them_away(tmp_path: Path, arrive: Arrive) -> None:
    home = tmp_path / ("a long path with spaces, $HOME and 'quotes' " * 4).strip() / "ö"

    user = arrive(home)
    folder = Path(user.urls[1].removeprefix("unix://")).parent
    assert user.query("SELECT 1") == 1
    assert folder.parent == Path("/tmp") and stat.S_IMODE(folder.stat().st_mode) == 0o700

    user.leave()
    assert not folder.exists()


def test_no_permission_outside_the_home_changes(tmp_path: Path, arrive: Arrive) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    parents = [closed, *closed.parents]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in parents]

    user = arrive(closed / "home")
    assert user.query("SELECT 1") == 1

    assert [(path.stat().st_mode, path.stat().st_uid) for path in parents] == before
    for name in ("", "postgres", "valkey", "run", "log"):
        assert stat.S_IMODE((closed / "home" / name).stat().st_mode) == 0o700


def test_the_servers_listen_at_no_tcp_port(home: Path, arrive: Arrive) -> None:
    for server in arrive(home).servers():
        assert server.net_connections(kind="inet") == []


def test_case_insensitive_search_knows_all_letters_and_the_clock_is_utc(home: Path, arrive: Arrive) -> None:
    user = arrive(home)

    assert user.query("SELECT 'ÄRGER' ILIKE 'ärger' AND upper('ж') = 'Ж'") is True
    assert user.query("SHOW timezone") == "UTC"


def test_services_that_are_named_are_used_and_nothing_is_started(
    new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSROOM_HOME", str(new_home))
    for name in embedded.SERVICES:
        monkeypatch.setenv(name, f"redis://{name.lower()}/0")

    embedded.use()

    assert not new_home.exists()
    assert os.environ["DATABASE_URL"] == "redis://database_url/0"


@pytest.mark.parametrize(
    ("redis_url", "broker"),
    [
        ("unix:///a/valkey.sock", "redis+socket:///a/valkey.sock?virtual_host=0"),
        ("redis://:secret@cache:6380/3", "redis://:secret@cache:6380/0"),
        ("rediss://cache", "rediss://cache/0"),
    ],
)
def test_the_broker_is_database_0_of_the_redis_that_is_named(redis_url: str, broker: str) -> None:
    assert embedded.broker_in(redis_url) == broker


def test_the_secret_key_is_made_once_for_us_alone(new_home: Path) -> None:
    folder = Home(new_home)
    folder.prepare()

    key = folder.secret_key()

    assert len(key) >= 50 and folder.secret_key() == key
    assert stat.S_IMODE((new_home / "secret_key").stat().st_mode) == 0o600


def test_a_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    open_folder, link = tmp_path / "open", tmp_path / "link"
    open_folder.mkdir()
    open_folder.chmod(0o755)
    link.symlink_to(private_folder(tmp_path / "ours"))

    for refused in (open_folder, link):
        with pytest.raises(embedded.EmbeddedError, match="remove it"):
            private_folder(refused)


def test_root_without_setpriv_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(embedded.EmbeddedError, match="ordinary user, or install setpriv"):
        as_unprivileged()


def test_a_second_start_makes_no_data_anew(home: Path, arrive: Arrive) -> None:
    arrive(home).leave()
    made = min(home.rglob("PG_VERSION"), key=lambda file: len(file.parts))
    before = made.stat()

    arrive(home)

    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_command_beside_a_running_copy_knows_its_port(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OPSROOM_HOME", str(tmp_path))
    monkeypatch.setenv("OPSROOM_LOCAL", "1")
    monkeypatch.setenv("SECRET_KEY", "of-a-test")
    monkeypatch.delenv("PORT", raising=False)
    home = embedded.use_local_settings()
    assert "PORT" not in os.environ

    with launcher.only_one(home.lock, 8123):
        embedded.use_local_settings()

    assert os.environ["PORT"] == "8123"
    monkeypatch.setenv("PORT", "8200")
    embedded.use_local_settings()
    assert os.environ["PORT"] == "8200"
