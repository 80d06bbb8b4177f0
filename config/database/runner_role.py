"""Database role of the test runner, which executes untrusted code: it can access only the runner's tables.

`migrate` grants the privileges if the role exists. docker-compose.yml creates it; a local instance has one role only.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

ROLE = "opsroom_runner"
_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_TABLES = r"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'testrunner\_%%'"
_SEQUENCES = r"SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND sequencename LIKE 'testrunner\_%%'"


def grant(connection: BaseDatabaseWrapper) -> bool:
    """Let the role use the test runner's tables and publish live messages; return whether that was done."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(_EXISTS, [ROLE])
        if not cursor.fetchone():
            return False
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {ROLE}")
        cursor.execute(_TABLES, [])
        tables = [quote(name) for (name,) in cursor.fetchall()]
        cursor.execute("SELECT to_regclass('live_event') IS NOT NULL AND to_regclass('auth_user') IS NOT NULL")
        if not tables or cursor.fetchone() != (True,):  # before the first migrations, or while they are undone
            return False
        cursor.execute(_SEQUENCES, [])
        sequences = [quote(name) for (name,) in cursor.fetchall()]
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(tables)} TO {ROLE}")
        cursor.execute(f"GRANT USAGE, SELECT ON {', '.join([*sequences, 'live_event_id_seq'])} TO {ROLE}")
        cursor.execute(f"GRANT SELECT (id, created_at), INSERT ON live_event TO {ROLE}")
        cursor.execute(f"GRANT SELECT (id, username) ON auth_user TO {ROLE}")  # who requested a cancellation
    return True
