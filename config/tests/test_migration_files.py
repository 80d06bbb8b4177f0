"""New migrations must not block writers of a big table: checks of the migration files, before they run."""

import re

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from config.database.indexes import AddIndexInBackground

OURS = {"chats", "core", "events", "live", "projects", "testrunner"}
# Tables with millions of rows, or with constant writes. The partitioned ones of events do not support indexes built
# CONCURRENTLY: create such an index on each partition, then on the parent.
BIG = {
    "chats": {"chat", "message"},
    "events": {"event", "rejectedevent", "session", "minute", "batch", "notification"},
    "live": {"outboxmessage"},
    "testrunner": {"testresult", "logpiece", "runfile"},
    "projects": {"reminder"},
}
# Written before there was an installation to upgrade, or for tables that were empty then. Do not add to this.
BASELINE = {
    ("events", "0002_event_partitions"),
    ("events", "0007_lookups"),
    ("testrunner", "0004_results"),
    ("testrunner", "0005_durations"),
}
FOR_BIG = "use AddIndexInBackground of config/database/indexes.py"
NOT_VALID = "use AddConstraintNotValid, and ValidateConstraint in a later migration"
PLAIN_INDEX = re.compile(r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)", re.IGNORECASE)


def problems(app: str, operations: list[Operation]) -> list[str]:
    """Return the operations that block the writers of a big table for long, with the alternative to use."""
    big = set(BIG.get(app, ()))
    found: list[str] = []
    for operation in flat(operations):
        if isinstance(operation, migrations.CreateModel):
            big.discard(operation.name.lower())  # the new table is still empty
        elif isinstance(operation, migrations.RunSQL):
            if PLAIN_INDEX.search(str(operation.sql)) and any(f"{app}_{name}" in str(operation.sql) for name in big):
                found.append(f"CREATE INDEX without CONCURRENTLY: {FOR_BIG}")
        elif getattr(operation, "model_name", "").lower() in big:
            found += problems_of_one(operation)
    return found


def problems_of_one(operation: Operation) -> list[str]:
    if isinstance(operation, migrations.AddIndex) and not isinstance(operation, AddIndexConcurrently):
        return [f"{operation.describe()}: {FOR_BIG}"]
    if type(operation) is migrations.AddConstraint:
        if isinstance(operation.constraint, models.CheckConstraint):
            return [f"{operation.describe()}: {NOT_VALID}"]
        return [f"{operation.describe()}: build its index CONCURRENTLY first"]
    if isinstance(operation, migrations.AddField):
        field = operation.field
        if field.unique or field.db_index:
            return [f"{operation.describe()} with an index: {FOR_BIG}"]
    if isinstance(operation, migrations.AlterField) and (operation.field.unique or operation.field.db_index):
        return [f"{operation.describe()} with an index: {FOR_BIG}"]
    return []


def flat(operations: list[Operation]) -> list[Operation]:
    """Return the operations that change the database."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            found += flat(operation.database_operations)
        else:
            found.append(operation)
    return found


def test_no_migration_stops_the_writers_of_a_big_table():
    loader = MigrationLoader(None, ignore_no_migrations=True)

    found = {
        f"{app}.{name}": wrong
        for (app, name), migration in loader.disk_migrations.items()
        if app in OURS and (app, name) not in BASELINE and (wrong := problems(app, migration.operations))
    }

    assert found == {}


INDEX = models.Index(fields=["chat"], name="one_more")
CHECK = models.CheckConstraint(condition=models.Q(id__gt=0), name="one_more")
UNIQUE = models.UniqueConstraint(fields=["chat"], name="one_more")
MESSAGE = migrations.CreateModel("Message", [("id", models.BigAutoField(primary_key=True))])


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddIndex("message", INDEX),
        migrations.AddConstraint("message", CHECK),
        migrations.AddConstraint("message", UNIQUE),
        migrations.AddField("message", "extra", models.IntegerField(db_index=True, null=True)),
        migrations.AlterField("message", "text", models.TextField(unique=True)),
        migrations.RunSQL("CREATE INDEX one_more ON chats_message (chat_id)"),
    ],
    ids=str,
)
def test_an_operation_that_stops_writers_is_found_on_a_big_table_only(operation: Operation):
    assert len(problems("chats", [operation])) == 1
    assert problems("chats", [MESSAGE, operation]) == []
    assert problems("other", [operation]) == []


def test_what_does_not_stop_writers_passes():
    assert problems("chats", [AddIndexInBackground("message", INDEX)]) == []
    assert problems("chats", [migrations.AddField("message", "extra", models.IntegerField(null=True))]) == []
    assert problems("chats", [migrations.RunSQL("CREATE INDEX CONCURRENTLY x ON chats_message (chat_id)")]) == []


@pytest.mark.django_db(transaction=True)
def test_an_index_is_built_again_after_an_attempt_that_was_interrupted():
    loader = MigrationLoader(connection)
    state = loader.project_state()
    after = state.clone()
    index = models.Index(fields=["type"], name="live_event_one_more")
    operation = AddIndexInBackground("outboxmessage", index)
    operation.state_forwards("live", after)

    for _ in range(2):  # the second time the index already exists
        with connection.schema_editor(atomic=False) as editor:
            operation.database_forwards("live", editor, state, after)

    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'live_event_one_more'::regclass")
        assert cursor.fetchone() == (True,)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("live", editor, after, state)
