"""The migration copies the plaintext tokens of REST framework's own table."""

from importlib import import_module

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.django_db
def test_existing_tokens_still_work_and_their_keys_are_nowhere(viewer, superuser):
    kind = ContentType.objects.create(app_label="authtoken", model="tokenproxy")
    LogEntry.objects.create(user=superuser, content_type=kind, object_id="1", object_repr=KEY, action_flag=1)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE authtoken_token (key varchar(40) PRIMARY KEY, created timestamptz, user_id int)")
        cursor.execute("INSERT INTO authtoken_token VALUES (%s, now(), %s)", [KEY, viewer.pk])

    with connection.schema_editor() as editor:
        import_module("accounts.migrations.0001_initial").move_tokens(None, editor)

    assert Client().get("/chats/", headers={"Authorization": f"Token {KEY}"}).status_code == 200
    assert [entry.object_repr for entry in LogEntry.objects.all()] == ["Token"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('authtoken_token'), string_agg(t::text, '') FROM accounts_accesstoken t")
        table, rows = cursor.fetchone()
    assert table is None
    assert KEY not in rows
