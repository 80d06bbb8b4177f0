"""Clients that are generated from `/schema/`, and linters' findings about it: what programmers get who use them.

`make test/clients` installs the tools: a .venv-clients for Python, clients/typescript/node_modules for TypeScript.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from config.tests.instance import PROJECT, Instance, running_instance

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]
PYTHON = PROJECT / ".venv-clients" / "bin" / "python"
TYPESCRIPT = PROJECT / "clients" / "typescript"
GENERATOR = PYTHON.with_name("openapi-python-client")
# The generator's own client passes the arguments of `__exit__` on as `*args: object`.
MYPY = "[mypy]\nstrict = True\n[mypy-opsroom_api.client]\ndisable_error_code = arg-type\n"


@pytest.fixture(scope="module")
def instance(tmp_path_factory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("instance") / "home") as instance:
        instance.shell(
            "from django.contrib.auth.models import User; User.objects.create_superuser('admin', '', '12345')"
        )
        instance.start_web()
        yield instance


@pytest.fixture(scope="module")
def description(instance: Instance, tmp_path_factory) -> Path:
    """Return the file with the document as the instance serves it, from which clients are generated."""
    login = {"username": "admin", "password": "12345"}
    token = requests.post(f"{instance.url}/auth/token", json=login, timeout=30).json()["token"]
    headers = {"Authorization": f"Token {token}", "Accept": "application/vnd.oai.openapi+json"}
    file = tmp_path_factory.mktemp("description") / "schema.json"
    file.write_bytes(requests.get(f"{instance.url}/schema/", headers=headers, timeout=60).content)
    return file


@pytest.fixture(scope="module")
def node() -> Path:
    """Return the folder of the Node.js tools. Without Node.js the test is skipped, but fails on CI."""
    if shutil.which("npm") is None:
        words = "Node.js with npm is not installed: neither the linters nor the TypeScript client were tried."
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    if not (TYPESCRIPT / "node_modules" / ".package-lock.json").exists():
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=TYPESCRIPT)
    return TYPESCRIPT / "node_modules" / ".bin"


def run(*command: str | Path, cwd: Path) -> str:
    environment = os.environ | {"REDOCLY_TELEMETRY": "off", "MYPY_CACHE_DIR": str(cwd / ".mypy_cache")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-5_000:]}{done.stderr[-5_000:]}"
    return done.stdout + done.stderr


def test_a_generated_python_client_is_complete_typed_and_drives_the_main_flows(instance, description, tmp_path):
    said = run(
        GENERATOR, "generate", "--path", description, "--output-path", "opsroom_api", "--meta", "none", cwd=tmp_path
    )
    (tmp_path / "mypy.ini").write_text(MYPY)
    shutil.copy(PROJECT / "clients" / "generated" / "flows.py", tmp_path)

    assert said.count("WARNING") == 1 and "junit.xml" in said  # the generator does not support XML
    run(PYTHON, "-m", "mypy", "flows.py", "opsroom_api", cwd=tmp_path)
    run(PYTHON, "flows.py", instance.url, cwd=tmp_path)


def test_a_generated_typescript_client_is_typed_and_drives_the_main_flows(instance, description, node, tmp_path):
    for name in ("flows.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(TYPESCRIPT / "node_modules")

    run(node / "openapi-typescript", description, "--output", "schema.ts", cwd=tmp_path)
    run(node / "tsc", "--project", ".", cwd=tmp_path)
    run("node", "flows.js", instance.url, cwd=tmp_path)


@pytest.mark.parametrize(
    "linter",
    [["redocly", "lint"], ["spectral", "lint", "--fail-severity", "hint", "--ruleset", TYPESCRIPT / ".spectral.yaml"]],
    ids=["redocly", "spectral"],
)
def test_a_linter_finds_nothing_by_its_default_rules(description, node, linter):
    said = run(node / linter[0], *linter[1:], description, cwd=description.parent)

    assert "warning" not in said.lower().replace("deprecation warning", "")
