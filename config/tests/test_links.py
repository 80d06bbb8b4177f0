"""Every link of every page leads somewhere, for every role: no error, and no redirect that goes on forever."""

import re
from collections import Counter, deque
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from django.test import Client

from config.tests.matrix import ROLES, create_everything, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]
MOST_HOPS = 5  # of redirects
MOST_ALIKE = 2  # addresses visited that differ in numbers, dates and values only
SKIPPED = re.compile(r"^/(static|media|ws|events|admin/logout)/")  # files, sockets, ingest, the end of the session


class Links(HTMLParser):
    """The addresses that a page leads to: links, and buttons that fetch a dialog or a part of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("hx-get") or (given.get("href") if tag == "a" else "")
        if address and not address.startswith(("#", "mailto:", "javascript:", "webcal:")):
            self.found.append(address)


def shape(address: str) -> str:
    """The address without what differs between pages of one kind."""
    parts = urlsplit(address)
    names = sorted(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return re.sub(r"[0-9a-f-]{36}|\d+", "N", parts.path) + "?" + "&".join(names)


def visit(client: Client, address: str) -> tuple[int, str, str]:
    """Follow redirects; return the last status, address and page."""
    seen = []
    while True:
        answer = client.get(address)
        seen.append(address)
        if answer.status_code not in (301, 302, 303, 307, 308):
            break
        address = urljoin(address, answer["Location"])
        if urlsplit(address).netloc not in ("", "testserver"):
            return 200, address, ""
        if address in seen or len(seen) > MOST_HOPS:
            return 310, " → ".join([*seen, address]), ""
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    is_page = answer.get("Content-Type", "").startswith("text/html")
    return answer.status_code, address, content.decode(errors="replace") if is_page else ""


def broken_links(client: Client) -> dict[str, str]:
    """Walk from the front page; return what is wrong, by the shape of the address, with the page that led there."""
    waiting, alike, broken = deque([("/admin/", "the start")]), Counter[str](), {}
    known = {"/admin/"}
    while waiting:
        address, source = waiting.popleft()
        alike[shape(address)] += 1
        if alike[shape(address)] > MOST_ALIKE:
            continue
        status, place, page = visit(client, address)
        if status >= 300:
            broken[shape(address)] = f"{status} {place}, from {source}"
        for link in Links(page).found:
            target = urljoin(place, link).partition("#")[0].removeprefix("http://testserver")
            if target.startswith("/") and target not in known and not SKIPPED.match(urlsplit(target).path):
                known.add(target)
                waiting.append((target, place))
    assert len(known) >= 5
    return broken


@pytest.mark.parametrize(
    "role",
    [
        pytest.param(role, marks=() if role == "testing" else pytest.mark.thorough)
        for role in ROLES
        if role not in ("anonymous", "interface")
    ],
)
def test_every_link_leads_to_a_page(role: str):
    create_everything()

    assert broken_links(signed_in(role)) == {}
