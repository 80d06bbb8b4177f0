"""Rules for names and folders that `make lint` does not check: unique class names, few modules per folder."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MAX_MODULES = 15  # in one folder
SUPERLATIVE = re.compile(r"_?(MOST|LONGEST|LARGEST|SHORTEST|SLOWEST|SMALLEST|DEEPEST|FEWEST)(_|$)|.*_MOST$")


def modules() -> Iterator[Path]:
    """Yield the modules of all apps, without tests and migrations."""
    for app in sorted(path.parent for path in PROJECT.glob("*/apps.py")):
        for path in sorted(app.rglob("*.py")):
            if not {"tests", "migrations"} & set(path.relative_to(app).parts):
                yield path


def test_no_two_classes_have_one_name():
    places = defaultdict(list)
    for path in modules():
        if path.parent.name == "commands":
            continue  # Django requires the name Command for each
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(PROJECT)))

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_limits_are_named_by_max_and_min():
    found = [
        f"{path.relative_to(PROJECT)}: {name.id}"
        for path in modules()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for name in ast.walk(target)
        if isinstance(name, ast.Name) and SUPERLATIVE.match(name.id)
    ]

    assert found == []


def test_no_folder_holds_more_than_15_modules():
    count = defaultdict(list)
    for path in modules():
        if path.name != "__init__.py":
            count[str(path.parent.relative_to(PROJECT))].append(path.stem)

    assert {folder: names for folder, names in count.items() if len(names) > MAX_MODULES} == {}
