"""The chats' pages: a list that stays fast, and one chat as a conversation."""

import html
import io
import re
import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from chats.chat_count import ChatCount, count_chats
from chats.demo.fake import create_fake_chats
from chats.factories import BroadcastFactory, ChatFactory, MessageFactory
from chats.models import Broadcast, Chat, Message
from chats.tests.test_fanout import in_another_connection

pytestmark = pytest.mark.django_db
LIST = "/admin/chats/chat/"


@pytest.fixture
def chat(db) -> Chat:
    return ChatFactory()


def page_of(chat: Chat) -> str:
    return reverse("admin:chats_chat_change", args=[chat.pk])


def png() -> SimpleUploadedFile:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return SimpleUploadedFile("picture.png", file.getvalue(), "image/png")


def sent(chat: Chat, **more: object) -> Message:
    now = timezone.now()
    broadcast = BroadcastFactory(
        status="sent", audience_size=1, delivered=1, started_at=now, finished_at=now, **more
    )  # fmt: skip
    return MessageFactory(chat=chat, own_text="", broadcast=broadcast)


# --- The list -----------------------------------------------------------------------------------------
def test_the_list_shows_what_each_user_was_told(as_viewer, chat):
    MessageFactory(chat=chat, read_at=timezone.now())
    MessageFactory.create_batch(2, chat=chat)
    sent(chat, retracted_at=timezone.now())

    row = as_viewer.get(LIST).context["cl"].result_list[0]

    assert (row.message_count, row.unread_count) == (3, 2)


def test_the_list_takes_as_many_queries_for_fifty_chats_as_for_one(as_viewer, chat):
    as_viewer.get(LIST)
    with CaptureQueriesContext(connection) as for_one:
        as_viewer.get(LIST)
    create_fake_chats(60, messages=2)

    with CaptureQueriesContext(connection) as for_many:
        answer = as_viewer.get(LIST)

    assert len(answer.context["cl"].result_list) == 50
    assert len(for_many) == len(for_one)


def test_the_list_counts_messages_for_its_own_page_only(as_viewer):
    create_fake_chats(60, messages=1)

    with CaptureQueriesContext(connection) as queries:
        as_viewer.get(LIST, {"p": 2})

    finding, *_ = [query["sql"] for query in queries if "LIMIT 50 OFFSET 50" in query["sql"]]
    counting, *_ = [query["sql"] for query in queries if "message_count" in query["sql"]]
    assert "chats_message" not in finding
    assert "OFFSET" not in counting and " IN (" in counting


def test_the_list_never_counts_all_chats_row_by_row(as_viewer, chat):
    with CaptureQueriesContext(connection) as queries:
        as_viewer.get(LIST)

    counts = [query["sql"] for query in queries if re.search(r'COUNT\(\*\).*FROM "chats_chat"', query["sql"], re.I)]
    assert counts == []


@pytest.mark.parametrize("term", ["{0}", "{0.hex}", "{0!s:.6}", " {0!s:.18} "])
def test_a_chat_is_found_by_how_its_uuid_begins(as_viewer, chat, term):
    ChatFactory(user_uuid=UUID(int=chat.user_uuid.int ^ (1 << 127)))

    found = as_viewer.get(LIST, {"q": term.format(chat.user_uuid).upper()}).context["cl"].result_list

    assert list(found) == [chat]


def test_a_search_that_finds_nothing_says_what_was_looked_for(as_viewer, chat):
    answer = as_viewer.get(LIST, {"q": "<b>nobody"})

    assert "UUID begins with “&lt;b&gt;nobody”" in answer.content.decode()


def test_an_empty_list_says_what_belongs_here_and_offers_it(as_marketer, as_viewer):
    assert "No chats yet" in as_viewer.get(LIST).content.decode()
    assert "Open a chat" not in as_viewer.get(LIST).content.decode()
    assert "Open a chat" in as_marketer.get(LIST).content.decode()


def test_the_total_is_exact_while_it_is_cheap(chat):
    assert count_chats() == ChatCount(1, True)
    assert str(ChatCount(1_000, True)) == "1,000"
    assert str(ChatCount(1_003_271, False)) == "about 1,000,000"


def test_a_large_total_is_estimated(monkeypatch):
    monkeypatch.setattr("chats.chat_count.EXACT_UP_TO", 100)
    create_fake_chats(5_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chats_chat")

    total = count_chats()

    assert not total.exact
    assert 4_500 <= total.number <= 5_500


# --- Actions on the selected rows ----------------------------------------------------------------------
def test_the_selected_users_are_handed_to_the_compose_page(as_marketer, chat):
    ChatFactory()

    answer = as_marketer.post(LIST, {"action": "compose_to_selected", "_selected_action": [chat.pk]})

    assert answer.headers["Location"] == reverse("admin:chats_broadcast_add")
    assert as_marketer.session["compose_uuids"] == [str(chat.user_uuid)]


def test_a_viewer_is_offered_no_action(as_viewer, chat):
    answer = as_viewer.get(LIST)
    as_viewer.post(LIST, {"action": "compose_to_selected", "_selected_action": [chat.pk]})

    assert "Compose to selected" not in answer.content.decode()
    assert "Send banner" not in answer.content.decode()
    assert "compose_uuids" not in as_viewer.session


def test_opening_a_chat_leads_into_it(as_marketer):
    answer = as_marketer.post(LIST + "add/", {"user_uuid": "0c5f1d1e-0000-4000-8000-000000000001"})

    chat = Chat.objects.get()
    assert answer.headers["Location"] == page_of(chat)


def test_a_user_has_one_chat_only(as_marketer, chat):
    answer = as_marketer.post(LIST + "add/", {"user_uuid": str(chat.user_uuid)})

    assert answer.status_code == 200
    assert "already exists" in answer.content.decode()


# --- One chat --------------------------------------------------------------------------------------------
def shown(answer: object) -> list[int]:
    return [int(number) for number in re.findall(r'id="message-(\d+)"', answer.content.decode())]


def test_a_conversation_reads_from_old_to_new_without_what_was_retracted(as_viewer, chat):
    first, second = MessageFactory(chat=chat), sent(chat)
    sent(chat, retracted_at=timezone.now())
    third = MessageFactory(chat=chat)
    MessageFactory()

    answer = as_viewer.get(page_of(chat))

    assert shown(answer) == [first.pk, second.pk, third.pk]
    assert "retracted broadcast are hidden" in answer.content.decode()


def test_a_message_says_where_it_came_from_and_whether_it_was_read(as_viewer, chat):
    message = sent(chat, text="To all", image="banners/a.webp")
    MessageFactory(chat=chat, read_at=timezone.now())

    page = as_viewer.get(page_of(chat)).content.decode()

    assert reverse("admin:chats_broadcast_change", args=[message.broadcast_id]) in page
    assert 'src="/media/banners/a.webp"' in page
    assert page.count("message-read") == 1 and page.count("message-unread") == 1


def test_messages_are_grouped_by_day(as_viewer, chat):
    today = timezone.now()
    for days in (2, 1, 1):
        MessageFactory(chat=chat, created_at=today - timedelta(days=days))

    page = as_viewer.get(page_of(chat)).content.decode()

    assert page.count('class="messages-day"') == 2


def test_earlier_messages_come_page_by_page(as_viewer, chat):
    numbers = [message.pk for message in MessageFactory.create_batch(120, chat=chat)]

    newest = as_viewer.get(page_of(chat))
    address = re.search(r'hx-get="([^"]*earlier[^"]*)"', newest.content.decode())[1]
    middle = as_viewer.get(address)
    address = re.search(r'hx-get="([^"]*earlier[^"]*)"', middle.content.decode())[1]
    oldest = as_viewer.get(address)

    assert shown(newest) == numbers[70:]
    assert shown(middle) == numbers[20:70]
    assert shown(oldest) == numbers[:20]
    assert "hx-get" not in oldest.content.decode()


def test_a_conversation_takes_as_many_queries_for_fifty_messages_as_for_two(as_viewer, chat):
    MessageFactory(chat=chat), sent(chat)
    as_viewer.get(page_of(chat))
    with CaptureQueriesContext(connection) as for_two:
        as_viewer.get(page_of(chat))
    for _ in range(48):
        sent(chat)

    with CaptureQueriesContext(connection) as for_fifty:
        as_viewer.get(page_of(chat))

    assert len(for_fifty) == len(for_two)


def next_address(answer) -> str:
    """Return the address from which the page loads newer messages."""
    return html.unescape(re.search(r'hx-get="([^"]*/newer/[^"]*)"', answer.content.decode())[1])


def test_new_messages_arrive_by_themselves(as_viewer, chat):
    MessageFactory(chat=chat)
    page = as_viewer.get(page_of(chat))
    new = MessageFactory(chat=chat)

    answer = as_viewer.get(next_address(page))

    assert shown(answer) == [new.pk]
    assert shown(as_viewer.get(next_address(answer))) == []


@pytest.mark.parametrize("already", [0, 1, 60])
def test_more_new_messages_than_a_page_holds_arrive_oldest_first_and_all(as_viewer, chat, already):
    MessageFactory.create_batch(already, chat=chat)
    answer = as_viewer.get(page_of(chat))
    new = [message.pk for message in MessageFactory.create_batch(120, chat=chat)]

    arrived, asks_at_once = [], True
    while asks_at_once:
        answer = as_viewer.get(next_address(answer))
        arrived += shown(answer)
        asks_at_once = ", load" in answer.content.decode()

    assert arrived == new


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("already", [0, 60])
def test_a_message_that_becomes_visible_below_a_later_one_arrives_too(as_viewer, chat, already):
    MessageFactory.create_batch(already, chat=chat)
    page = as_viewer.get(page_of(chat))
    written, may_commit = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            MessageFactory(chat=chat, own_text="Slow")
            written.set()
            may_commit.wait(10)

    writing = in_another_connection(write_slowly)
    written.wait(10)
    quick = MessageFactory(chat=chat)
    before = as_viewer.get(next_address(page))
    may_commit.set()
    writing.join(10)
    after = as_viewer.get(next_address(before))

    slow = Message.objects.get(own_text="Slow")
    assert slow.pk < quick.pk
    assert (shown(before), shown(after)) == ([quick.pk], [slow.pk])
    assert shown(as_viewer.get(next_address(after))) == []


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30, "²"])
def test_an_edited_address_is_no_error(as_viewer, chat, number):
    newer = reverse("admin:chats_chat_newer", args=[chat.pk])

    assert as_viewer.get(newer, {"floor": number}).status_code == 404
    assert not number or as_viewer.get(newer, {"floor": 1, "seen": f"1,{number}"}).status_code == 404


def test_a_personal_message_is_written_with_a_picture(as_marketer, chat):
    answer = as_marketer.post(page_of(chat), {"text": " Hello ", "image": png()})

    message = chat.messages.get()
    assert answer.status_code == 302
    assert message.text == "Hello"
    assert message.image.name.endswith(".webp")


def test_a_refused_picture_is_explained_and_the_text_is_kept(as_marketer, chat):
    wrong = SimpleUploadedFile("a.png", b"this is no picture", "image/png")

    page = as_marketer.post(page_of(chat), {"text": "Long thought", "image": wrong}).content.decode()

    assert "The picture was refused" in page
    assert "Long thought</textarea>" in page
    assert not chat.messages.exists()


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_message_is_refused(as_marketer, chat, text):
    page = as_marketer.post(page_of(chat), {"text": text}).content.decode()

    assert "Write something, or add a picture." in page
    assert not chat.messages.exists()


def test_a_text_is_shown_as_it_was_written_never_as_markup(as_viewer, chat):
    MessageFactory(chat=chat, own_text="<script>alert(1)</script>")

    assert "<script>alert(1)" not in as_viewer.get(page_of(chat)).content.decode()


def test_a_viewer_reads_and_writes_nothing(as_viewer, chat):
    MessageFactory(chat=chat)

    page = as_viewer.get(page_of(chat)).content.decode()

    assert "<textarea" not in page and "Mark as read" not in page
    assert as_viewer.post(page_of(chat), {"text": "x"}).status_code == 403
    assert as_viewer.post(reverse("admin:chats_chat_read", args=[chat.pk]), {"shown": 9}).status_code == 403
    assert as_viewer.post(LIST + "add/", {"user_uuid": str(chat.user_uuid)}).status_code == 403
    assert as_viewer.post(reverse("admin:chats_chat_delete", args=[chat.pk]), {"post": "yes"}).status_code == 403
    assert Message.objects.filter(read_at=None).count() == 1


def test_who_may_see_chats_but_no_messages_sees_no_conversation(stranger, as_stranger, chat):
    stranger.user_permissions.add(Permission.objects.get(codename="view_chat"))

    assert as_stranger.get(page_of(chat)).status_code == 403
    assert as_stranger.get(reverse("admin:chats_chat_newer", args=[chat.pk]), {"floor": 0}).status_code == 403


def test_what_the_page_has_shown_is_marked_as_read_and_nothing_else(as_marketer, chat):
    read, hidden = MessageFactory(chat=chat, read_at=timezone.now()), sent(chat)
    old, seen = MessageFactory(chat=chat), MessageFactory.create_batch(50, chat=chat)
    page = as_marketer.get(page_of(chat)).content.decode()
    later = MessageFactory(chat=chat)
    Broadcast.objects.filter(pk=hidden.broadcast_id).update(retracted_at=timezone.now())
    marked = [int(number) for number in re.findall(r'name="shown" value="(\d+)" form="mark-read"', page)]
    assert marked == [message.pk for message in seen]

    as_marketer.post(reverse("admin:chats_chat_read", args=[chat.pk]), {"shown": [*marked, hidden.pk, read.pk]})

    assert list(chat.messages.unread().order_by("pk")) == [hidden, old, later]


def test_the_forms_text_counts_an_end_of_line_once(as_marketer, chat):
    fits, too_long = "a\r\n" * 1_999 + "ab", "a\r\n" * 1_999 + "abc"

    assert as_marketer.post(page_of(chat), {"text": fits}).status_code == 302
    assert "at most 4000" in as_marketer.post(page_of(chat), {"text": too_long}).content.decode()
    assert len(chat.messages.get().text) == 4_000


def test_marking_as_read_takes_a_post(as_marketer, chat):
    assert as_marketer.get(reverse("admin:chats_chat_read", args=[chat.pk])).status_code == 405


def test_a_chat_that_is_gone_leads_to_the_front_page(as_viewer):
    assert as_viewer.get(LIST + "4711/change/").status_code == 302


# --- Deleting ----------------------------------------------------------------------------------------------
def test_deleting_names_its_consequence_in_numbers_not_in_rows(as_superuser, chat):
    MessageFactory.create_batch(12, chat=chat, own_text="one of many")
    address = reverse("admin:chats_chat_delete", args=[chat.pk])

    page = as_superuser.get(address).content.decode()
    as_superuser.post(address, {"post": "yes"})

    assert "12 messages" in page and "one of many" not in page
    assert not Chat.objects.exists() and not Message.objects.exists()


def test_deleting_the_selected_names_its_consequence_too(as_superuser, chat):
    MessageFactory.create_batch(3, chat=chat, own_text="one of many")
    selected = {"action": "delete_selected", "_selected_action": [chat.pk, ChatFactory().pk]}

    page = as_superuser.post(LIST, selected).content.decode()
    as_superuser.post(LIST, {**selected, "post": "yes"})

    assert "2 chats" in page and "3 messages" in page and "one of many" not in page
    assert not Chat.objects.exists()
