"""Migrates back and forth, for tests of migrations on rows as earlier versions wrote them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def migrate(*targets: tuple[str, str]) -> None:
    """Migrate as `manage.py migrate` does."""
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets) or executor.loader.graph.leaf_nodes())


@contextmanager
def migrated_back() -> Iterator[Callable[..., None]]:
    """Return `migrate`; migrate forth again at the end, because other tests share the database."""
    yield migrate
    migrate()
