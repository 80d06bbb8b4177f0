"""Every change goes through the services: what writes past them would be told to nobody, and stay in cached lists."""

import re
from pathlib import Path

from live import topics
from projects.apps import ProjectsConfig

APP = Path(__file__).resolve().parents[1]
# Where rows of projects, tasks and comments are written; fake data is told to nobody on purpose.
WRITERS = {"services.py", "task_changes.py", "fake.py", "demo.py", "factories.py"}
WRITES = re.compile(r"\b(Project|Task|Comment)\.objects\b[^\n]*\.(update|delete|create|bulk_\w+|get_or_create)\(")


def test_nobody_else_writes_projects_tasks_and_comments():
    sources = [path for path in APP.rglob("*.py") if "tests" not in path.parts and "migrations" not in path.parts]

    past_them = [path.name for path in sources if path.name not in WRITERS and WRITES.search(path.read_text())]

    assert past_them == []


def test_watching_takes_the_right_to_see_tasks():
    assert ProjectsConfig.name == "projects"
    assert topics.permission_for("projects") == topics.permission_for("project:7") == "projects.view_task"
