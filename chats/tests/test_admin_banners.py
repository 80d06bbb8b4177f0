"""The banner page: the next banner, sent banners and skipped banners."""

import re
from contextlib import ExitStack

import pytest
from django.contrib.messages import get_messages
from django.core import signing
from django.test import Client
from django.utils import timezone

from chats.admin.banners import SALT
from chats.banners.api_client import MAX_WAITING, request_slot
from chats.factories import BannerFactory, BroadcastFactory
from chats.models import Banner
from chats.tests.banner_list import png
from core.tests import evil_server as evil

pytestmark = pytest.mark.django_db
PAGE = "/admin/chats/banner/"


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def words(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def address(response, kind: str) -> str:
    """Return the address of the preview, or of the skip link, from the fragment."""
    return re.search(rf'"({PAGE}{kind}/[^"]+)"', response.content.decode())[1]


def sent_banner(**more) -> Banner:
    banner = BannerFactory(**more)
    now = timezone.now()
    BroadcastFactory(
        banner=banner, banner_url=banner.source_url, text="", image="broadcasts/banner.webp", status="sent",
        audience_size=1_500, delivered=1_500, started_at=now, finished_at=now,
    )  # fmt: skip
    return banner


def test_the_page_itself_does_not_wait_for_the_api(as_marketer, banner_list):
    banner_list.answers(evil.silent)

    page = as_marketer.get(PAGE).content.decode()

    assert f'hx-get="{PAGE}next/"' in page
    assert banner_list.asked == []


def test_the_gallery_shows_what_was_sent_with_date_and_reach(as_viewer):
    banner = sent_banner(title="Autumn")

    shown = text_of(as_viewer.get(PAGE))

    assert "Autumn" in shown
    assert "1,500 chats" in shown
    assert f"Broadcast {banner.broadcast.pk}" in shown


def test_the_empty_page_says_what_belongs_there(as_viewer):
    assert "No banner has been sent yet" in text_of(as_viewer.get(PAGE))


@pytest.mark.parametrize(("fate", "wanted"), [("sent", "Sent one"), ("skipped", "Skipped one"), ("free", "Free one")])
def test_the_gallery_can_be_filtered(as_viewer, fate, wanted):
    sent_banner(title="Sent one")
    BannerFactory(title="Skipped one", skipped_at=timezone.now(), skip_reason="not a picture")
    BannerFactory(title="Free one")

    shown = text_of(as_viewer.get(f"{PAGE}?fate={fate}"))

    assert [title for title in ("Sent one", "Skipped one", "Free one") if title in shown] == [wanted]


def test_the_next_banner_is_the_first_that_was_never_sent(as_marketer, banner_list):
    urls = banner_list.offers(4)
    sent_banner(source_url=urls[0])
    BannerFactory(source_url=urls[1], skipped_at=timezone.now(), skip_reason="ugly")

    response = as_marketer.get(f"{PAGE}next/")

    assert "Photo 2" in text_of(response)
    assert "2 left to send" in text_of(response)
    assert "Send now" in text_of(response)


def test_looking_ahead_reserves_nothing(as_marketer, banner_list):
    banner_list.offers(1)

    as_marketer.get(f"{PAGE}next/")

    assert not Banner.objects.exists()


def test_a_viewer_sees_the_gallery_and_never_has_the_api_asked(as_viewer, banner_list):
    token = signing.dumps([banner_list.offers(1)[0], ""], salt=SALT)

    page = as_viewer.get(PAGE)

    assert page.status_code == 200
    assert "chats-next" not in page.content.decode()
    for path in ("next/", f"preview/{token}/"):
        assert as_viewer.get(f"{PAGE}{path}").status_code == 403
    assert banner_list.asked == []


def test_a_slow_api_holds_a_few_requests_and_refuses_more_at_once(as_marketer, marketer_api, banner_list):
    banner_list.offers(1)
    with ExitStack() as waiting:
        for _ in range(MAX_WAITING):
            waiting.enter_context(request_slot())

        page = as_marketer.get(f"{PAGE}next/")
        press = marketer_api.post("/broadcasts/banner/")

    assert "other requests wait for it" in text_of(page)
    assert (press.status_code, press.headers["Retry-After"]) == (503, "5")
    assert banner_list.asked == []
    assert "Photo 0" in text_of(as_marketer.get(f"{PAGE}next/"))


def test_the_end_of_the_list_is_said(as_marketer, banner_list):
    sent_banner(source_url=banner_list.offers(1)[0])

    assert "No banner left to send" in text_of(as_marketer.get(f"{PAGE}next/"))


def test_a_problem_of_the_api_is_told_in_words(as_marketer, banner_list):
    banner_list.answers(evil.answer_json({"success": False, "message": "closed on Sundays"}))

    assert "closed on Sundays" in text_of(as_marketer.get(f"{PAGE}next/"))


def test_the_preview_is_painted_by_us_and_kept(as_marketer, banner_list):
    banner_list.offers(1)
    preview = address(as_marketer.get(f"{PAGE}next/"), "preview")

    answers = [as_marketer.get(preview) for _ in range(2)]

    assert [answer["Content-Type"] for answer in answers] == ["image/webp"] * 2
    assert answers[0].content[8:12] == b"WEBP"
    assert banner_list.asked.count("/0.png") == 1


def test_what_is_no_picture_is_not_shown(as_marketer, banner_list):
    banner_list.offers(1, picture=b"<svg onload=alert(1)>")
    preview = address(as_marketer.get(f"{PAGE}next/"), "preview")

    answer = as_marketer.get(preview)

    assert answer.status_code == 502
    assert answer["Content-Type"].startswith("text/plain")
    assert b"svg" not in answer.content


@pytest.mark.parametrize(
    "token",
    ["http:forged", signing.dumps(["http://127.0.0.1/x", ""], salt="other")],
    ids=["not signed", "signed for something else"],
)
def test_only_addresses_that_the_page_has_shown_are_fetched(as_marketer, banner_list, token):
    assert as_marketer.get(f"{PAGE}preview/{token}/").status_code == 404
    assert banner_list.asked == []


def test_a_banner_is_skipped_after_a_question(as_marketer, marketer, banner_list):
    urls = banner_list.offers(2)
    skip = address(as_marketer.get(f"{PAGE}next/"), "skip")

    question = as_marketer.get(skip, headers={"HX-Request": "true"})
    untouched = Banner.objects.count()
    as_marketer.post(skip)

    assert "Photo 0" in text_of(question)
    assert untouched == 0
    banner = Banner.objects.get()
    assert (banner.source_url, banner.skip_reason) == (urls[0], "skipped by mara")
    assert "Photo 1" in text_of(as_marketer.get(f"{PAGE}next/"))


def test_a_banner_that_was_sent_meanwhile_is_not_skipped(as_marketer, banner_list):
    urls = banner_list.offers(1)
    skip = address(as_marketer.get(f"{PAGE}next/"), "skip")
    sent_banner(source_url=urls[0])

    response = as_marketer.post(skip)

    assert words(response) == ["This banner is being sent or was sent already."]


def test_a_skipped_banner_is_allowed_again(as_marketer):
    banner = BannerFactory(skipped_at=timezone.now(), skip_reason="ugly")
    shown = text_of(as_marketer.get(PAGE))

    asked = as_marketer.get(f"{PAGE}{banner.pk}/allow/")
    still = Banner.objects.get().skipped_at
    as_marketer.post(f"{PAGE}{banner.pk}/allow/")

    assert "ugly" in shown and "Allow again" in shown
    assert asked.status_code == 200 and still is not None
    assert Banner.objects.get().skipped_at is None


@pytest.mark.parametrize("who", ["as_viewer", "as_stranger"])
def test_nobody_else_may_skip_or_allow(request, who):
    client = request.getfixturevalue(who)
    banner = BannerFactory(skipped_at=timezone.now(), skip_reason="ugly")
    token = signing.dumps(["https://photos.example.com/1", ""], salt=SALT)

    assert client.post(f"{PAGE}skip/{token}/").status_code == 403
    assert client.post(f"{PAGE}{banner.pk}/allow/").status_code == 403
    assert Banner.objects.get().skipped_at is not None


def test_a_skip_without_the_csrf_token_is_forbidden(marketer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(marketer)
    token = signing.dumps(["https://photos.example.com/1", ""], salt=SALT)

    assert client.post(f"{PAGE}skip/{token}/").status_code == 403


@pytest.mark.parametrize("path", ["", "next/"])
def test_a_stranger_sees_no_banners(as_stranger, path):
    assert as_stranger.get(PAGE + path).status_code == 403


def test_a_stranger_sees_no_preview(as_stranger, banner_list):
    token = signing.dumps([f"{banner_list.server.origin}/0.png", ""], salt=SALT)
    banner_list.offers(1, picture=png())

    assert as_stranger.get(f"{PAGE}preview/{token}/").status_code == 403
    assert banner_list.asked == []


def test_a_banner_leads_to_its_broadcast(as_viewer):
    banner = sent_banner()

    response = as_viewer.get(f"{PAGE}{banner.pk}/change/")

    assert response["Location"] == f"/admin/chats/broadcast/{banner.broadcast.pk}/change/"
