"""The headers of answers: kept by no cache unless the view allows it, and no more of the browser than is used."""

import pytest
from django.test import Client

from chats.factories import ChatFactory
from config.middleware import DEFAULTS

PRIVATE = ["/chats/", "/broadcasts/", "/event-types/", "/environments/", "/notifications/", "/schema/", "/admin/"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", PRIVATE)
def test_no_cache_keeps_a_private_answer(as_superuser, path):
    ChatFactory()

    answer = as_superuser.get(path)

    assert answer.status_code == 200
    assert {"private", "no-store"} <= set(answer.headers["Cache-Control"].split(", "))


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/chats/", "/nothing/", "/admin/", "/ping/", "/auth/token/"])
def test_every_answer_has_the_default_headers_whatever_its_status(client, path):
    answer = client.get(path)

    assert set(DEFAULTS) <= set(answer.headers)
    assert "camera=()" in answer.headers["Permissions-Policy"]


def test_a_redirect_to_https_and_a_refused_host_have_them_as_well(settings):
    settings.SECURE_SSL_REDIRECT = True
    redirect = Client().get("/admin/")
    settings.SECURE_SSL_REDIRECT = False
    refused = Client(raise_request_exception=False).get("/admin/", headers={"host": "evil.example"})

    assert (redirect.status_code, refused.status_code) == (301, 400)
    assert set(DEFAULTS) <= set(redirect.headers) & set(refused.headers)
