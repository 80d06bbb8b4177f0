"""Tests with real commits leave no rows for later tests."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from chats.factories import ChatFactory
from chats.models import Chat, Message
from config.tests.initial_rows import FEW, InitialRows
from testrunner.models import TestEnvironment

pytestmark = pytest.mark.django_db(transaction=True)


def test_rows_that_were_added_changed_or_deleted_are_as_at_the_start():
    initial_rows = InitialRows()
    User.objects.create_user("somebody").groups.set(Group.objects.all())
    TestEnvironment.objects.filter(pk=17).update(name='A "name", with \\ and ümlaut')
    Group.objects.get(name="viewer").delete()

    initial_rows.restore()

    assert not User.objects.exists()
    assert TestEnvironment.objects.get(pk=17).name == "Environment 17"
    assert Group.objects.get(name="viewer").permissions.exists()


def test_more_rows_than_a_few_leave_no_space_that_they_took():
    initial_rows = InitialRows()
    Chat.objects.bulk_create(ChatFactory.build_batch(FEW + 1))

    initial_rows.restore()

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s)", [Chat._meta.db_table])
        assert cursor.fetchone() == (0,)
    assert TestEnvironment.objects.count() == 100
    assert not Message.objects.exists()


def test_a_new_row_never_takes_the_number_of_one_of_the_start():
    initial_rows = InitialRows()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE auth_group RESTART IDENTITY CASCADE")

    initial_rows.restore()

    assert Group.objects.create(name="new").pk > Group.objects.get(name="viewer").pk
