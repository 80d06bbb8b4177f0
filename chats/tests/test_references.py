"""The database checks the references of messages once per statement, and promises what a foreign key promises."""

import pytest
from django.db import IntegrityError, NotSupportedError, connection, transaction
from django.db.models import F

from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Broadcast, Chat, Message
from chats.tests.test_fanout import in_another_connection, wait_until_somebody_waits_for_a_lock

MISSING = 2**40


def sql(statement: str, *arguments: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)


@pytest.mark.django_db
def test_a_message_needs_an_existing_chat():
    existing = ChatFactory()

    with pytest.raises(IntegrityError, match="A message's chat does not exist"):
        Message.objects.bulk_create([Message(chat=existing, own_text="one"), Message(chat_id=MISSING, own_text="two")])


@pytest.mark.django_db
def test_a_message_needs_an_existing_broadcast():
    with pytest.raises(IntegrityError, match="A message's broadcast does not exist"):
        Message.objects.create(chat=ChatFactory(), broadcast_id=MISSING)


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["chats_chat", "chats_broadcast"])
def test_a_row_with_messages_cannot_be_deleted(table):
    message = MessageFactory(own_text="", broadcast=BroadcastFactory())
    used = {"chats_chat": message.chat_id, "chats_broadcast": message.broadcast_id}[table]

    with pytest.raises(IntegrityError, match=f"A deleted row of {table} still has messages"):
        sql(f"DELETE FROM {table} WHERE id = %s", used)


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["chats_chat", "chats_broadcast"])
def test_a_row_without_messages_is_deleted(table):
    MessageFactory(own_text="", broadcast=BroadcastFactory())
    unused = {"chats_chat": ChatFactory, "chats_broadcast": BroadcastFactory}[table]()

    sql(f"DELETE FROM {table} WHERE id = %s", unused.pk)

    assert not type(unused).objects.filter(pk=unused.pk).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        lambda message: Message.objects.update(chat=ChatFactory()),
        lambda message: Message.objects.update(broadcast=BroadcastFactory()),
        lambda message: Chat.objects.filter(pk=message.chat_id).update(id=F("id") + MISSING),
        lambda message: Broadcast.objects.filter(pk=message.broadcast_id).update(id=F("id") + MISSING),
    ],
    ids=["chat", "broadcast", "id of the chat", "id of the broadcast"],
)
def test_a_reference_does_not_change(change):
    message = MessageFactory(own_text="", broadcast=BroadcastFactory())

    with pytest.raises(IntegrityError, match="do not change"):
        change(message)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["chats_chat", "chats_broadcast"])
def test_a_table_is_not_emptied_while_messages_refer_to_it(table):
    MessageFactory(own_text="", broadcast=BroadcastFactory())

    with pytest.raises(IntegrityError, match="cannot be emptied while messages exist"), transaction.atomic():
        sql(f"TRUNCATE {table} CASCADE")


def rows() -> tuple[Chat, Broadcast, dict[str, int]]:
    chat, broadcast = ChatFactory(), BroadcastFactory()
    return chat, broadcast, {"chats_chat": chat.pk, "chats_broadcast": broadcast.pk}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["chats_chat", "chats_broadcast"])
def test_a_deletion_waits_for_an_insert_and_is_then_refused(table):
    chat, broadcast, ids = rows()
    refused: list[str] = []

    def delete() -> None:
        try:
            sql(f"DELETE FROM {table} WHERE id = %s", ids[table])
        except IntegrityError as error:
            refused.append(str(error))

    with transaction.atomic():
        Message.objects.create(chat=chat, broadcast=broadcast)
        deletion = in_another_connection(delete)
        wait_until_somebody_waits_for_a_lock()
    deletion.join()

    assert len(refused) == 1 and "still has messages" in refused[0]
    assert Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["chats_chat", "chats_broadcast"])
def test_an_insert_waits_for_a_deletion_and_is_then_refused(table):
    chat, broadcast, ids = rows()
    refused: list[str] = []

    def insert() -> None:
        try:
            Message.objects.create(chat=chat, broadcast=broadcast)
        except IntegrityError as error:
            refused.append(str(error))

    with transaction.atomic():
        sql(f"DELETE FROM {table} WHERE id = %s", ids[table])
        insertion = in_another_connection(insert)
        wait_until_somebody_waits_for_a_lock()
    insertion.join()

    assert len(refused) == 1 and "does not exist" in refused[0]
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_deletion_with_an_older_snapshot_is_refused():
    chat = ChatFactory()

    with pytest.raises(NotSupportedError, match="READ COMMITTED"), transaction.atomic():
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        sql("DELETE FROM chats_chat WHERE id = %s", chat.pk)


@pytest.mark.django_db(transaction=True)
def test_a_check_reads_its_chats_by_their_index_whatever_it_was_first_planned_for():
    create_fake_chats(5_000)
    many = list(Chat.objects.all())
    scans = sequential_scans()

    for chats in [many, many[:1], many]:
        connection.close()  # a new connection plans the check for its first statement
        for inserted in [chats, many[:1], many]:
            Message.objects.bulk_create([Message(chat=chat, own_text="x") for chat in inserted])

    assert sequential_scans() == scans


def sequential_scans() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'chats_chat'")
        return int(cursor.fetchone()[0])
