"""The first command on a new machine: what it installs, repairs and reports."""

import ast
import builtins
from pathlib import Path
from typing import Any

import pytest

from config.local import bootstrap


class Machine:
    """A folder with requirements. Commands are recorded instead of run; those named in `broken` fail."""

    def __init__(self, project: Path) -> None:
        self.venv = project / ".venv"
        self.commands: list[list[str]] = []
        self.broken: set[str] = set()

    def attempt(self, command: list[str], quiet: bool = False) -> bool:
        self.commands.append([Path(command[0]).name, *command[1:]])
        if any(word in command or word == Path(command[0]).name for word in self.broken):
            return False
        if "venv" in command:
            (self.venv / "bin").mkdir(parents=True)
            (self.venv / "bin" / "python").touch()
        return True

    def ran(self, *words: str) -> bool:
        return any(set(words) <= set(command) for command in self.commands)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("requirements-dev.txt", "requirements-embedded.txt"):
        (tmp_path / name).write_text("django==5.2.1 \\\n    --hash=sha256:aa\nuv==0.13.8 \\\n    --hash=sha256:bb\n")
    machine = Machine(tmp_path)
    monkeypatch.setattr(bootstrap, "PROJECT", str(tmp_path))
    monkeypatch.setattr(bootstrap, "VENV", str(machine.venv))
    monkeypatch.setattr(bootstrap, "PYTHON", str(machine.venv / "bin" / "python"))
    monkeypatch.setattr(bootstrap, "STAMP", str(machine.venv / "installed"))
    monkeypatch.setattr(bootstrap, "attempt", machine.attempt)
    monkeypatch.setattr(bootstrap, "is_sound", lambda: (machine.venv / "bin" / "python").exists())
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    return machine


def test_an_old_python_can_read_it_and_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 6))
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap, "VERSION", "3.9")

    with pytest.raises(bootstrap.BootstrapError, match=r"needs Python 3\.11 or newer, this is 3\.9: make PYTHON="):
        bootstrap.main("run")


def test_a_fresh_folder_gets_a_venv_and_the_locked_set_with_hashes(machine: Machine) -> None:
    bootstrap.main("run")

    assert machine.ran("-m", "venv")
    requirements = str(machine.venv.parent / "requirements-embedded.txt")
    assert machine.ran("uv", "pip", "install", "--require-hashes", requirements)


def test_the_second_start_runs_no_command(machine: Machine) -> None:
    bootstrap.main("run")
    machine.commands.clear()

    bootstrap.main("run")

    assert machine.commands == []


def test_the_development_set_serves_for_running_too_but_not_the_other_way(machine: Machine) -> None:
    bootstrap.main("run")
    assert not bootstrap.is_installed("dev")

    bootstrap.main("dev")
    assert bootstrap.is_installed("run")


def test_changed_requirements_are_installed_into_the_venv_that_is_there(machine: Machine) -> None:
    bootstrap.main("run")
    machine.commands.clear()
    (machine.venv.parent / "requirements-embedded.txt").write_text("django==5.2.2 --hash=sha256:cc\n")

    bootstrap.main("run")

    assert machine.ran("pip", "install", "--require-hashes") and not machine.ran("venv")


def test_pip_has_the_last_word_when_uv_cannot_install(machine: Machine) -> None:
    machine.broken = {"uv"}

    bootstrap.main("run")

    assert machine.commands[-1][:4] == ["python", "-m", "pip", "install"]
    assert bootstrap.is_installed("run")


def test_an_installation_that_fails_leaves_no_stamp_and_says_so(machine: Machine) -> None:
    bootstrap.main("run")
    (machine.venv.parent / "requirements-embedded.txt").write_text("django==5.2.3 --hash=sha256:dd\n")
    machine.broken = {"install"}

    with pytest.raises(bootstrap.BootstrapError, match="could not be installed"):
        bootstrap.main("run")

    assert not (machine.venv / "installed").exists()


def test_a_venv_whose_python_is_gone_is_made_anew(machine: Machine) -> None:
    bootstrap.main("run")
    (machine.venv / "bin" / "python").unlink()
    machine.commands.clear()

    bootstrap.main("run")

    assert machine.ran("-m", "venv")


def test_without_the_venv_module_it_names_the_package_or_uses_uv(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def without_ensurepip(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "ensurepip":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_ensurepip)
    with pytest.raises(bootstrap.BootstrapError, match=r"apt install python3\.\d+-venv"):
        bootstrap.main("run")

    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: f"/usr/bin/{name}")
    bootstrap.main("run")

    assert machine.ran("uv", "venv")
