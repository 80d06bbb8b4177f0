"""Migration operations that build an index on a big table while it is being written to.

A plain CREATE INDEX blocks every writer until it is done: minutes to an hour on a table of events or messages. A
migration that uses these has `atomic = False` and contains nothing else.
"""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

__all__ = ["AddIndexInBackground", "RemoveIndexConcurrently"]


class AddIndexInBackground(AddIndexConcurrently):
    """CREATE INDEX CONCURRENTLY that can be repeated.

    An attempt that was killed or timed out leaves an invalid index of that name, so it is dropped first.
    """

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        name = schema_editor.connection.ops.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)
