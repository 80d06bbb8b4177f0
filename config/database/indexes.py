"""Operations for migrations that build an index on a big table while it is being written to.

A plain CREATE INDEX stops every writer until it is done: minutes to an hour on a table of events or messages. A
migration that uses these has `atomic = False` and nothing else in it.
"""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

__all__ = ["AddIndexInBackground", "RemoveIndexConcurrently"]


class AddIndexInBackground(AddIndexConcurrently):
    """CREATE INDEX CONCURRENTLY, which may be run again.

    An attempt that was killed or timed out leaves an index of that name that is of no use: it is removed first.
    """

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        name = schema_editor.connection.ops.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)
