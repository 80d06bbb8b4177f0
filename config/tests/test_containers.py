"""Checks of the container files without a container engine, by reading them."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.database import runner_role
from config.local import launcher
from config.processes import container_healthcheck

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["web", "worker", "testrunner-worker", "beat", "migrate"]
SERVERS = ["postgres", "redis", "rabbitmq"]
# The interpolation of compose: ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar sign.
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")


def variables() -> dict[str, set[str]]:
    """Return every variable of the compose file with its defaults, "" for none."""
    found: dict[str, set[str]] = {}
    for name, kind, word in VARIABLE.findall((PROJECT / "docker-compose.yml").read_text()):
        found.setdefault(name, set()).add(word if kind == "-" else "")
    found.pop("VARIABLE", None)  # used in the explanation at the top
    return found


def example() -> dict[str, str]:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value.replace("${PORT}", values["PORT"]) for name, value in values.items()}


def plain(command: str) -> list[str]:
    return shlex.split(VARIABLE.sub(r"\3", command))


def test_every_service_of_the_design_is_there():
    assert set(SERVICES) == {*OURS, *SERVERS, "tests"}
    assert SERVICES["tests"]["profiles"] == ["tests"]


def test_every_variable_is_in_the_example_with_the_same_default():
    wanted = {name: defaults.pop() for name, defaults in variables().items() if len(defaults) == 1}

    assert wanted == example()


SECRETS = ["SECRET_KEY", "RUNNER_SECRET_KEY", "POSTGRES_PASSWORD", "POSTGRES_ADMIN_PASSWORD", "RUNNER_PASSWORD"]
SECRETS += ["RABBITMQ_PASSWORD", "REDIS_PASSWORD"]


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_has_a_default(name: str):
    assert example()[name] == ""
    assert re.search(r"\$\{" + name + r":\?is not set", (PROJECT / "docker-compose.yml").read_text())


@pytest.mark.parametrize("name", [*OURS, "tests"])
def test_every_command_names_something_that_exists(name: str):
    program, *arguments = plain(SERVICES[name]["command"])

    assert program == "python"
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    else:
        assert (PROJECT / arguments[0]).is_file()


def test_containers_run_what_make_run_runs():
    local = {command.name: command.argv for command in launcher.commands(8000)}
    local["web"][local["web"].index("--host") + 1] = "0.0.0.0"

    for name, argv in local.items():
        service = SERVICES["testrunner-worker" if name == "runner" else name]
        assert plain(service["command"])[1:] == argv[argv.index("-m") :], name


def test_the_image_itself_starts_web():
    written = re.findall(r"^CMD \[(.*?)\]$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)

    assert re.findall(r'"([^"]*)"', written[0]) == plain(SERVICES["web"]["command"])


@pytest.mark.parametrize("name", ["web", "worker", "testrunner-worker", "beat"])
def test_nothing_starts_before_what_it_needs(name: str):
    needs = SERVICES[name]["depends_on"]

    assert {needs[server]["condition"] for server in SERVERS} == {"service_healthy"}
    assert needs["migrate"]["condition"] == "service_completed_successfully"
    assert "healthcheck" in SERVICES[name]


def test_only_this_machine_reaches_it_and_only_web():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"web": ["127.0.0.1:${PORT:-8000}:8000"]}


@pytest.mark.parametrize("name", ["web", "worker", "beat", "migrate"])
def test_web_and_worker_see_the_same_pictures_and_uploads(name: str):
    assert SERVICES[name]["volumes"] == ["media:/var/lib/opsroom/media", "uploads:/var/lib/opsroom/uploads"]
    assert "OPSROOM_HOME=/var/lib/opsroom" in (PROJECT / "Dockerfile").read_text()


def test_tests_find_no_data_in_their_container_and_are_not_the_user_who_knows_the_passwords():
    runner = {**COMPOSE["x-opsroom"], **SERVICES["testrunner-worker"]}

    assert runner["volumes"] == []
    assert runner["user"] == "0:0"  # so that each run gets its own user: testrunner/tests/test_isolation_modes.py
    assert runner["cap_drop"] == ["ALL"]
    assert not {"SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"} & set(runner["cap_add"])


def test_the_runner_is_not_told_the_secrets_of_the_application():
    told = str(SERVICES["testrunner-worker"]["environment"])

    for secret in ("POSTGRES_PASSWORD", "POSTGRES_ADMIN_PASSWORD", "SECRET_KEY", "METRICS_TOKEN"):
        assert "${" + secret not in told
        assert "${" + secret in (PROJECT / "docker-compose.yml").read_text()
    assert "opsroom_runner:${RUNNER_PASSWORD" in told


def test_the_roles_of_the_application_are_no_superusers():
    postgres = SERVICES["postgres"]
    script = (PROJECT / "config/postgres/roles.sh").read_text()

    assert "POSTGRES_USER" not in postgres["environment"]  # the image's own superuser, which no process uses
    assert "./config/postgres/roles.sh:/docker-entrypoint-initdb.d/roles.sh:ro" in postgres["volumes"]
    for role in ("opsroom", runner_role.ROLE):
        assert re.search(rf"^CREATE ROLE {role} LOGIN PASSWORD :'\w+';$", script, re.MULTILINE)
    for name in OURS:
        assert SERVICES[name]["environment"]["DATABASE_URL"].startswith("postgres://opsroom")


def test_the_health_check_of_web_asks_under_a_name_that_is_allowed(httpserver, monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", ".example.com,localhost")
    monkeypatch.setattr(container_healthcheck, "PORT", httpserver.port)
    httpserver.expect_request("/ping/", headers={"Host": "example.com"}).respond_with_data("ok")

    assert container_healthcheck.main("web") == 0


def test_the_health_check_says_what_is_wrong(httpserver, monkeypatch, capsys):
    monkeypatch.setattr(container_healthcheck, "PORT", httpserver.port)
    httpserver.expect_request("/ping/").respond_with_data("", status=503)

    assert container_healthcheck.main("web") == 1
    assert capsys.readouterr().err == "web answers 503\n"


def test_the_health_check_of_a_worker_looks_for_its_signs(monkeypatch, capsys):
    assert container_healthcheck.main("worker") == 1
    assert capsys.readouterr().err == "worker was never heard of\n"

    monkeypatch.setattr("config.processes.heartbeats.heartbeat_age", lambda kind, host: 31.0)
    assert container_healthcheck.main("worker") == 1
    assert capsys.readouterr().err == "worker was last heard of 31 s ago\n"

    monkeypatch.setattr("config.processes.heartbeats.heartbeat_age", lambda kind, host: 3.0)
    assert container_healthcheck.main("worker") == 0


def settings_read() -> set[str]:
    """Return the variables that the settings read, with any of the readers."""
    settings = (PROJECT / "config/settings.py").read_text()
    return set(re.findall(r'(?:\benv\.\w+\(|\b\w+\(\s*env,)\s*"([A-Z_]+)"', settings))


def test_the_settings_table_names_every_variable():
    table = re.findall(r"^\| `([A-Z_]+)` \|", (PROJECT / "docs/operations.md").read_text(), re.MULTILINE)

    assert set(table) == settings_read()
    assert len(table) == len(set(table))


# Set by the image or the compose file, not by .env: paths inside the containers and names of processes.
FIXED = {"MEDIA_ROOT", "TEST_UPLOADS_DIR", "STATIC_ROOT", "OPSROOM_HOME", "PORT", "CACHE_PREFIX"}
ONE_SERVICE = {"OPSROOM_PROCESS", "TESTRUN_DIR", "TESTRUN_STOP_SECONDS"}
NEVER = {"OPSROOM_LOCAL", "DEBUG"}  # only for a developer's machine


def test_compose_passes_every_setting_to_every_process():
    expected = settings_read() - FIXED - ONE_SERVICE - NEVER

    for name in OURS:
        assert expected - set(SERVICES[name]["environment"]) == set(), name
        assert not NEVER & set(SERVICES[name]["environment"])
