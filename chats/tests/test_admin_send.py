""" "Send banner" on the lists of chats, banners and broadcasts."""

import re
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from chats.factories import BannerFactory, BroadcastFactory, ChatFactory
from chats.models import Broadcast
from core.tests import evil_server as evil

pytestmark = pytest.mark.django_db
LISTS = ["/admin/chats/chat/", "/admin/chats/banner/", "/admin/chats/broadcast/"]


def press(client: Client, address: str, **more):
    """Confirm the dialog like htmx."""
    return client.post(
        f"{address}send-banner/",
        {"_form_submitted": "True", "request_key": str(uuid4()), **more},
        headers={"HX-Request": "true"},
    )


def words(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.mark.parametrize("address", LISTS)
def test_the_button_is_on_every_list(as_marketer, address):
    page = as_marketer.get(address).content.decode()

    assert f'hx-get="{address}send-banner/"' in page
    assert "Send banner" in page


@pytest.mark.parametrize("address", LISTS)
def test_a_viewer_sees_no_button_and_no_action(as_viewer, address):
    page = as_viewer.get(address).content.decode()

    assert "send-banner" not in page
    assert "send_banner" not in page


@pytest.mark.parametrize("address", LISTS)
def test_the_dialog_says_how_many_chats_get_it_and_sends_nothing(as_marketer, banner_list, address):
    banner_list.offers(1)
    ChatFactory.create_batch(3)

    dialog = as_marketer.get(f"{address}send-banner/").content.decode()

    assert "all 3 chats" in dialog
    assert not Broadcast.objects.exists()
    assert banner_list.asked == []


@pytest.mark.parametrize("address", LISTS)
def test_confirming_sends_the_next_banner_and_lands_on_its_page(as_marketer, marketer, banner_list, address):
    urls = banner_list.offers(2)

    response = press(as_marketer, address)

    broadcast = Broadcast.objects.get()
    assert response["HX-Redirect"] == f"/admin/chats/broadcast/{broadcast.pk}/change/"
    assert (broadcast.banner_url, broadcast.created_by, broadcast.audience) == (urls[0], marketer, "all")
    assert words(response) == ["The banner is queued for all chats."]


def test_a_double_click_makes_one_broadcast(as_marketer, banner_list):
    banner_list.offers(2)
    key = str(uuid4())

    first, second = (press(as_marketer, LISTS[0], request_key=key) for _ in range(2))

    assert first["HX-Redirect"] == second["HX-Redirect"]
    assert Broadcast.objects.count() == 1


def test_every_dialog_has_a_key_of_its_own(as_marketer):
    pages = [as_marketer.get(f"{LISTS[0]}send-banner/").content.decode() for _ in range(2)]

    keys = {re.search(r'name="request_key" value="([0-9a-f-]{36})"', page)[1] for page in pages}

    assert len(keys) == 2


def test_the_button_works_without_scripts(as_marketer, banner_list):
    banner_list.offers(1)

    response = as_marketer.post(
        "/admin/chats/chat/send-banner/", {"_form_submitted": "True", "request_key": str(uuid4())}
    )

    assert response.status_code == 302
    assert response["Location"] == f"/admin/chats/broadcast/{Broadcast.objects.get().pk}/change/"


@pytest.mark.parametrize(
    ("address", "row"), list(zip(LISTS, [ChatFactory, BannerFactory, BroadcastFactory], strict=True)), ids=LISTS
)
def test_the_action_on_selected_rows_sends_to_all_and_says_so(as_marketer, banner_list, address, row):
    banner_list.offers(1)
    selected = row()
    before = Broadcast.objects.count()

    response = as_marketer.post(
        address, {"action": "send_banner_to_all", "_selected_action": [selected.pk], "request_key": str(uuid4())}
    )

    assert response.status_code == 302
    assert Broadcast.objects.count() == before + 1
    assert Broadcast.objects.first().audience == "all"
    assert "All chats get it, not only the selected ones." in words(response)[0]


def test_the_action_sent_twice_is_one_broadcast(as_marketer, banner_list):
    banner_list.offers(2)
    form = {"action": "send_banner_to_all", "_selected_action": [ChatFactory().pk], "request_key": str(uuid4())}

    for _ in range(2):
        as_marketer.post("/admin/chats/chat/", form)

    assert Broadcast.objects.count() == 1


@pytest.mark.parametrize("who", ["as_viewer", "as_stranger"])
@pytest.mark.parametrize("address", LISTS)
def test_a_forged_request_is_forbidden(request, banner_list, who, address):
    client = request.getfixturevalue(who)
    banner_list.offers(1)

    pressed = press(client, address)
    acted = client.post(address, {"action": "send_banner_to_all", "_selected_action": [1]})

    assert (pressed.status_code, acted.status_code) == (403, 403)
    assert not Broadcast.objects.exists()


@pytest.mark.parametrize("path", ["send-banner/", ""])
def test_a_request_without_the_csrf_token_is_forbidden(marketer, banner_list, path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(marketer)
    banner_list.offers(1)

    response = client.post(f"/admin/chats/chat/{path}", {"_form_submitted": "True", "request_key": str(uuid4())})

    assert response.status_code == 403
    assert not Broadcast.objects.exists()


PROBLEMS = {
    "nothing left": (evil.answer_json({"success": True, "photos": []}), "No banner left to send."),
    "not 200": (evil.answer(500), "500"),
    "not json": (evil.answer(200, b"<html>"), "not JSON"),
    "wrong shape": (evil.answer_json([1]), "not an object"),
    "failure": (evil.answer_json({"success": False, "message": "Out of order"}), "Out of order"),
    "closed": (evil.raw(b""), "banner API"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("address", LISTS)
def test_a_problem_is_one_clear_message_on_the_list_it_was_pressed_on(as_marketer, banner_list, address, problem):
    behaviour, sentence = PROBLEMS[problem]
    banner_list.answers(behaviour)

    response = press(as_marketer, address)

    assert response["HX-Redirect"] == address
    assert len(words(response)) == 1
    assert sentence in words(response)[0]
    assert not Broadcast.objects.exists()


def test_an_unreachable_api_is_one_clear_message(as_marketer, settings):
    settings.BANNER_API_URL = "http://127.0.0.1:9/photos"
    settings.BANNER_TRUSTED_ORIGINS = ["http://127.0.0.1:9"]

    response = press(as_marketer, LISTS[0])

    assert len(words(response)) == 1
    assert words(response)[0].startswith("The banner API cannot be used")


def test_the_list_keeps_its_filters_when_the_api_has_a_problem(as_marketer, banner_list):
    banner_list.answers(evil.answer(500))

    response = as_marketer.post(
        "/admin/chats/broadcast/send-banner/",
        {"_form_submitted": "True", "request_key": str(uuid4())},
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/chats/broadcast/?status=sent"},
    )

    assert response["HX-Redirect"] == "/admin/chats/broadcast/?status=sent"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/x?next=y", "http://[::1"])
def test_an_address_of_somewhere_else_is_not_gone_back_to(as_marketer, banner_list, elsewhere):
    banner_list.answers(evil.answer(500))

    response = as_marketer.post(
        "/admin/chats/chat/send-banner/",
        {"_form_submitted": "True", "request_key": str(uuid4())},
        headers={"HX-Request": "true", "HX-Current-URL": elsewhere},
    )

    assert response["HX-Redirect"] == "/admin/chats/chat/"
