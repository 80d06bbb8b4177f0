"""Fake projects and tasks by INSERT … SELECT: 100,000 in seconds, for demos, tests and load tests."""

from django.db import connection, transaction

from core.list_cache import entries

_NAMES = ["Spring launch", "Checkout", "Mobile app", "Onboarding", "Price list", "Help centre", "Warehouse", "Search"]
_TITLES = [
    "Write the texts", "Check the numbers", "Agree with legal", "Draw the banner", "Test on a phone", "Plan the week",
    "Call the supplier", "Review the figures", "Update the page", "Invite the testers",
]  # fmt: skip
_PROJECTS = """
    INSERT INTO projects_project (name, description)
    SELECT (%(names)s::text[])[1 + number %% %(kinds)s] || ' ' || number, ''
    FROM generate_series(1, %(total)s) AS number RETURNING id
"""
# A third each pending, in progress and completed; due between a month ago and a month ahead, one in seven without a
# date.
_TASKS = """
    WITH made AS (
        SELECT project, (%(titles)s::text[])[1 + (project + number) %% %(kinds)s] || ' ' || number AS title,
               (ARRAY['pending', 'in_progress', 'completed'])[1 + (number + project) %% 3] AS status,
               (ARRAY['low', 'normal', 'normal', 'high'])[1 + number %% 4] AS priority,
               CASE WHEN number %% 7 > 0
                    THEN date_trunc('hour', now()) + ((number * 37 + project) %% 1440 - 720) * interval '1 hour'
               END AS due_date,
               now() - (number %% 72) * interval '1 hour' AS done
        FROM unnest(%(projects)s::bigint[]) AS project, generate_series(1, %(tasks)s) AS number
    )
    INSERT INTO projects_task (project_id, title, description, status, priority, due_date, created_at, completed_at)
    SELECT project, title, '', status, priority, due_date, least(done, due_date) - interval '1 day',
           CASE WHEN status = 'completed' THEN done END
    FROM made
"""


def create_fake_projects(total: int, tasks: int = 10) -> None:
    """Create `total` projects with `tasks` tasks each in one transaction, without history and live messages."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PROJECTS, {"names": _NAMES, "kinds": len(_NAMES), "total": total})
        projects = [row[0] for row in cursor.fetchall()]
        cursor.execute(_TASKS, {"projects": projects, "titles": _TITLES, "kinds": len(_TITLES), "tasks": tasks})
        entries.invalidate()
