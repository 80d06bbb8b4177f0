"""Tree of test files to choose from: one branch per directory, below the three roots."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from testrunner.models import Root, TestFile

OPEN = {Root.SAMPLES, Root.UPLOADS}  # Opsroom's own tests are many and rarely needed, so their branches are closed


@dataclass
class Leaf:
    """A file in the tree."""

    file: TestFile
    is_chosen: bool

    @property
    def name(self) -> str:
        return self.file.path.rpartition("/")[2]


@dataclass
class Branch:
    """A directory with its files; `name` is its path below the root, or the root's own name."""

    root: str
    name: str
    is_open: bool
    leaves: list[Leaf] = field(default_factory=list)


def tree_of(chosen: Container[str] = ()) -> list[Branch]:
    """Return all files by directory. Files whose ids are in `chosen` are marked, and their branches are open."""
    branches: dict[tuple[str, str], Branch] = {}
    for file in TestFile.objects.existing().select_related("uploaded_by").order_by("root", "path"):
        key = (file.root, file.directory)
        if key not in branches:
            branches[key] = Branch(file.root, _name(file), file.root in OPEN)
        leaf = Leaf(file, str(file.pk) in chosen)
        branches[key].leaves.append(leaf)
        branches[key].is_open |= leaf.is_chosen
    order = [Root.UPLOADS, Root.SAMPLES, Root.PROJECT]
    return sorted(branches.values(), key=lambda branch: (order.index(Root(branch.root)), branch.name))


def _name(file: TestFile) -> str:
    root = Root(file.root).label.capitalize()
    return f"{root} / {file.directory}" if file.directory else root
