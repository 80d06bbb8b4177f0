"""What import-linter does not check: apps that it does not know, and import cycles between files."""

import tomllib
from pathlib import Path

import grimp

PROJECT = Path(__file__).resolve().parents[2]


def apps() -> list[str]:
    """Return the packages of all apps: every folder with an `apps.py`."""
    return sorted(path.parent.name for path in PROJECT.glob("*/apps.py"))


def test_import_linter_knows_every_app():
    rules = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]

    circles = next(contract for contract in rules["contracts"] if contract["id"] == "circles")
    assert sorted(rules["root_packages"]) == apps()
    assert sorted(circles["ancestors"]) == apps()


def test_no_file_imports_itself_by_way_of_others():
    graph = grimp.build_graph(*apps(), exclude_type_checking_imports=True, cache_dir=None)

    circles = [
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if graph.find_shortest_chain(importer=imported, imported=module)
    ]

    assert circles == []
