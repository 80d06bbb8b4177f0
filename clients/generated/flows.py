"""The main flows by the generated Python client: `python flows.py URL`. It is checked by mypy and then run."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from opsroom_api import AuthenticatedClient, Client
from opsroom_api.api.applications import applications_create
from opsroom_api.api.auth import auth_token_destroy, create_token
from opsroom_api.api.broadcasts import broadcasts_create, broadcasts_list
from opsroom_api.api.chats import chats_create, chats_messages_create, chats_messages_list
from opsroom_api.api.environments import environments_list
from opsroom_api.api.event_types import event_types_create
from opsroom_api.api.events import events_ingest, events_list
from opsroom_api.api.notifications import notifications_create, notifications_retrieve
from opsroom_api.api.projects import projects_create, projects_list
from opsroom_api.api.rejected_events import rejected_events_groups_list
from opsroom_api.api.tasks import tasks_comments_create, tasks_create, tasks_destroy, tasks_partial_update
from opsroom_api.api.test_files import test_files_create
from opsroom_api.api.test_runs import test_runs_create, test_runs_retrieve
from opsroom_api.models import (
    ApplicationRequest,
    Broadcast,
    Chat,
    ChatRequest,
    Comment,
    CommentRequest,
    Environment,
    EventType,
    EventTypeRequest,
    EventTypeRequestSchema,
    IngestAnswer,
    IssuedToken,
    LoginRequest,
    Message,
    NewApplication,
    NewBroadcastRequestJson,
    NewEvent,
    NewEventData,
    NewMessageRequestJson,
    NewRunRequest,
    Notification,
    NotificationRequest,
    PatchedTaskRequest,
    Problem,
    Project,
    ProjectRequest,
    Run,
    Task,
    TaskRequest,
    TaskStatusEnum,
    TestFile,
    UploadRequest,
)
from opsroom_api.types import File, Unset

NOW = datetime.now(UTC)


def main(url: str) -> None:
    token = create_token.sync(client=Client(url), body=LoginRequest(username="admin", password="12345"))
    assert isinstance(token, IssuedToken)
    client = AuthenticatedClient(url, token=token.token, prefix="Token")
    plan(client)
    talk(client)
    count(client, url)
    test(client)
    ended = auth_token_destroy.sync_detailed(client=client)
    assert ended.status_code == 204
    refused = projects_list.sync(client=client)
    assert isinstance(refused, Problem) and refused.status == 401


def plan(client: AuthenticatedClient) -> None:
    project = projects_create.sync(client=client, body=ProjectRequest(name=f"Generated {uuid4()}"))
    assert isinstance(project, Project)
    new = TaskRequest(project=project.id, title="Paint the door", due_date=NOW + timedelta(days=1))
    task = tasks_create.sync(client=client, body=new)
    assert isinstance(task, Task) and task.status is TaskStatusEnum.PENDING
    done = tasks_partial_update.sync(task.id, client=client, body=PatchedTaskRequest(status=TaskStatusEnum.COMPLETED))
    assert isinstance(done, Task) and done.completed_at is not None
    comment = tasks_comments_create.sync(task.id, client=client, body=CommentRequest(content="Done."))
    assert isinstance(comment, Comment) and comment.author
    assert tasks_destroy.sync_detailed(task.id, client=client).status_code == 204
    wrong = tasks_create.sync(client=client, body=TaskRequest(project=project.id, title="", due_date=None))
    assert isinstance(wrong, Problem) and not isinstance(wrong.errors, Unset)


def talk(client: AuthenticatedClient) -> None:
    user = uuid4()
    assert isinstance(chats_create.sync(client=client, body=ChatRequest(user_uuid=user)), Chat)
    message = chats_messages_create.sync(
        str(user), client=client, body=NewMessageRequestJson(text="Your parcel is here.")
    )
    assert isinstance(message, Message) and message.text == "Your parcel is here."
    assert not isinstance(chats_messages_list.sync(str(user), client=client), Problem | None)
    broadcast = broadcasts_create.sync(client=client, body=NewBroadcastRequestJson(text="For you", audience=[user]))
    assert isinstance(broadcast, Broadcast)
    assert not isinstance(broadcasts_list.sync(client=client), Problem | None)
    told = notifications_create.sync(client=client, body=NotificationRequest(user_id=str(user), description="Look"))
    assert isinstance(told, Notification)
    assert isinstance(notifications_retrieve.sync(str(told.event_id), client=client), Notification)


def count(client: AuthenticatedClient, url: str) -> None:
    name = f"generated {uuid4()}"
    shop = applications_create.sync(client=client, body=ApplicationRequest(name=name))
    assert isinstance(shop, NewApplication)
    schema = EventTypeRequestSchema.from_dict({"required": ["host"]})
    kind = event_types_create.sync(client=client, body=EventTypeRequest(category="generated", name=name, schema=schema))
    assert isinstance(kind, EventType)
    events = [
        NewEvent("session-1", "generated", name, NewEventData.from_dict(data), NOW)
        for data in ({"host": "www.example.com"}, {"path": "/"})
    ]
    answer = events_ingest.sync(client=AuthenticatedClient(url, token=shop.write_key), body=events)
    assert isinstance(answer, IngestAnswer) and (answer.accepted, answer.rejected) == (1, 1)
    found = events_list.sync(client=client, name=name)
    assert found is not None and not isinstance(found, Problem) and len(found.results) == 1
    groups = rejected_events_groups_list.sync(client=client, name=name)
    assert isinstance(groups, list) and groups[0].pointer == "/data/host"


def test(client: AuthenticatedClient) -> None:
    environments = environments_list.sync(client=client)
    assert environments is not None and not isinstance(environments, Problem)
    environment = environments.results[0]
    assert isinstance(environment, Environment)
    content = File(payload=io.BytesIO(b"def test_one(): assert True\n"), file_name=f"test_{uuid4().hex}.py")
    file = test_files_create.sync(client=client, body=UploadRequest(file=content, directory="generated"))
    assert isinstance(file, TestFile)
    run = test_runs_create.sync(client=client, body=NewRunRequest(environment=environment.id, files=[file.id]))
    assert isinstance(run, Run)
    assert isinstance(test_runs_retrieve.sync(run.id, client=client), Run)


if __name__ == "__main__":
    main(sys.argv[1])
