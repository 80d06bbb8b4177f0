"""Every change uses the services. Code that writes directly would publish no message and leave stale cached lists."""

import re
from pathlib import Path

import pytest

from live import topics
from projects.apps import ProjectsConfig

APP = Path(__file__).resolve().parents[1]
HOUSE = [APP.parent / name for name in ("chats", "config", "events", "live", "projects", "testrunner")]
# The modules that write projects, tasks and comments. Fake data intentionally publishes no messages.
WRITERS = {APP / name for name in ("services.py", "task_updates.py", "demo/fake.py", "demo/content.py", "factories.py")}
VERB = r"a?(update|delete|create|add|remove|set|clear|bulk_\w+|get_or_create|update_or_create)\("
WRITES = re.compile(
    rf"\b(Project|Task|Comment)\.objects\b[^\n]*\.{VERB}"
    rf"|\b(tasks|comments|owned_projects)(\.(all|filter|exclude|order_by)\([^\n]*\))?\.{VERB}"
    r"|\b(project|task|comment)\.a?(save|delete)\("
)
SAVES = re.compile(r"\.a?(save|save_base)\(")  # of any object, in this app


def test_nobody_else_writes_projects_tasks_and_comments():
    sources = {path for folder in HOUSE for path in folder.rglob("*.py")} - WRITERS
    read = {path: path.read_text() for path in sources if not {"tests", "migrations"} & set(path.parts)}

    past_them = [path for path, text in read.items() if "projects" in text and WRITES.search(text)]
    past_them += [path for path, text in read.items() if path.is_relative_to(APP) and SAVES.search(text)]

    assert past_them == []


@pytest.mark.parametrize(
    "line",
    [
        "Task.objects.filter(pk=1).update(title='x')",
        "project.tasks.update(status='completed')",
        "project.tasks.filter(pk=1).delete()",
        "task.comments.create(content='x')",
        "user.owned_projects.clear()",
        "task.save(update_fields=['title'])",
        "await comment.adelete()",
    ],
)
def test_what_would_write_past_them_is_known(line):
    assert WRITES.search(line)


def test_watching_takes_the_right_to_see_tasks():
    assert ProjectsConfig.name == "projects"
    assert topics.permission_for("projects") == topics.permission_for("project:7") == "projects.view_task"
