"""Crawler of the admin that follows every link, sends every form with its initial values, and tries invalid input.

Pages are distinguished by their route and the names of their parameters, so a thousand rows make two pages. The effects
of a form are rolled back. Invalid input is tried on one page of each route, and divided among several visitors: `part`
of `parts`, by a hash of the attempt.
"""

from __future__ import annotations

import copy
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit
from zlib import crc32

from django.db import connection, transaction
from django.test import Client
from django.urls import Resolver404, resolve

from config.pages.kept_forms import KEY, SECRET, is_shown
from config.tests.matrix import WRITES
from config.tests.pages import Form, Page

HOST = "http://testserver"
PAGES_OF_A_KIND = 2
KINDS_OF_A_ROUTE = 12  # sets of parameters per route: filters can be combined without end
MAX_REDIRECTS = 5
LEFT_ALONE = re.compile(r"/logout/|/static/|\.ics$|^/events/opsroom\.js")
# Rows that are written besides a form's own: the list of test files follows their folder.
BESIDE = re.compile(r'"(django_session|testrunner_testfile)"')
HTMX = {"HX-Request": "true"}
SCALARS = [
    "%00", "a%00b", "%ED%A0%80", "%FF", "9223372036854775808", "-1", "0", "abc", "1e400", "NaN", "0001-01-01",
    "9999-12-31T23:59:59%2B14:00", "%3Cscript%3E%27%22", "..%2F..%2Fetc%2Fpasswd", "%F0%9F%92%A9", "x" * 100_000,
]  # fmt: skip
ALWAYS = ["page", "p", "q", "o", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters", "next", "cursor"]
IDS = ["0", "-1", "9223372036854775808", "1" * 40, "abc", "%00", "%ED%A0%80", "1.5", "%D9%A3", "_5F", "x" * 2_000]
TYPED = [
    "",
    "a\x00b",
    "\ud800".encode(errors="replace").decode(),
    "9223372036854775808",
    "-1",
    "9999-12-31",
    "x" * 50_000,
]
WORDS = ("text", "textarea", "search", "url", "email", "number")  # types of fields that users type into
HEADERS = [
    "Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "HX-Current-URL", "HX-Request", "HX-Target",
    "HX-Trigger-Name", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "Origin", "Range",
    "Referer", "Sec-Fetch-Mode", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID",
]  # fmt: skip
IN_HEADERS = ["", '"', "\xff\xfe", "9223372036854775808", "bytes=9-1,-", "*/*;q=x,;", "http://[::1", "x" * 8_000]
ZONES = ["Mars/Phobos", "%00", "..%2F..%2Fetc%2Fpasswd", "x" * 3_000, "UTC%0D%0A", "Europe"]


@dataclass
class Visitor:
    """`problems` are sentences, each beginning with a URL."""

    client: Client
    inside: str = ""  # pattern of URLs whose links are followed and whose forms are sent; others are only opened
    problems: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    parameters: dict[str, set[str]] = field(default_factory=dict)  # by visited path
    forms: dict[str, tuple[str, Form]] = field(default_factory=dict)
    scripted: set[str] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)

    # --- Links and forms -----------------------------------------------------------------------
    def visit(self, *starts: str, most: int = 10_000) -> None:
        """Follow every link from these URLs; send each kind of form once."""
        waiting = deque((start, "", False) for start in starts)
        while waiting and most:
            address, where, is_fragment = waiting.popleft()
            kind = kind_of(address)
            if not kind or self.seen[kind] >= PAGES_OF_A_KIND:
                continue
            if where and not self._is_inside(address) and (self.seen[kind] or not re.search(r"[\d?]", address)):
                continue  # a page that another visitor covers
            route = kind.partition("?")[0]
            if kind not in self.seen and sum(each.partition("?")[0] == route for each in self.seen) >= KINDS_OF_A_ROUTE:
                continue
            self.seen[kind] += 1
            most -= 1
            address, page = self._page(address, where, is_fragment)
            if page is None or not (self._is_inside(address) or address in starts):
                continue
            self.scripted.update(_addresses(page.scripted, address))
            waiting += [(link, address, False) for link in _addresses(page.links, address)]
            waiting += [(link, address, True) for link in _addresses(page.fragments, address)]
            for form in page.forms:
                waiting += [(link, address, False) for link in self._send(form, address)]

    def _is_inside(self, address: str) -> bool:
        return bool(re.match(self.inside, address))

    def _page(self, address: str, where: str, is_fragment: bool) -> tuple[str, Page | None]:
        """Return the URL after redirects, and the page."""
        split = urlsplit(address)
        if not self._is_inside(address):
            answer = self._get(address, where)
            return address, None if answer is None or answer.streaming else Page(
                answer.content.decode(errors="replace")
            )
        names = {name for name, _ in parse_qsl(split.query, keep_blank_values=True)}
        self.parameters.setdefault(split.path, set()).update(names)
        answer = self._get(address, where, HTMX if is_fragment else {})
        if answer is None or "text/html" not in answer.headers.get("Content-Type", ""):
            return address, None
        address = answer.request["PATH_INFO"] + (f"?{query}" if (query := answer.request["QUERY_STRING"]) else "")
        page = Page(answer.content.decode(errors="replace"))
        if not is_fragment and not page.title and b"<html" in answer.content:
            self.problems.append(f"{address}: has no title")
        return address, page

    def _get(self, address: str, where: str = "", headers: dict[str, str] | None = None) -> Any:
        """Return the page after all redirects, or None after recording a problem."""
        came_from = f" (a link of {where})" if where else ""
        passed = [address]
        while True:
            answer = self._ask(passed[-1], headers=headers)
            if answer.status_code not in (301, 302, 303, 307, 308):
                break
            passed.append(urljoin(passed[-1], answer.headers["Location"]).removeprefix(HOST))
            if len(passed) > MAX_REDIRECTS:
                self.problems.append(f"{address}{came_from}: redirects for ever: {passed[1:4]}")
                return None
        if answer.status_code >= 400:
            self.problems.append(f"{address}{came_from}: {describe(answer)}")
            return None
        return answer

    def _ask(self, address: str, headers: dict[str, str] | None = None) -> Any:
        answer = self.client.get(address, headers=headers)
        if answer.streaming:
            answer.getvalue()
            for close in answer._resource_closers:  # not `close()`, which would close the connection and transaction
                close()
        return answer

    def _send(self, form: Form, address: str) -> Iterator[str]:
        """Send a form with its initial values; yield the URL that a GET form leads to."""
        action = urljoin(address, form.marks.get("hx-post") or form.action).removeprefix(HOST)
        if form.method == "get" and "hx-post" not in form.marks:
            filled = {name: values[0] or "a" for name, values in form.data().items()}
            yield f"{urlsplit(action).path}?{urlencode(filled)}"
            return
        kind = f"{kind_of(action)} {sorted(form.kinds)}"
        if not kind_of(action) or kind in self.forms or LEFT_ALONE.search(action) or not form.can_be_sent:
            return
        self.forms[kind] = (action, form)
        for data in bodies(form):
            self._post(action, data, form, f"{address}: form to {action}", is_shown=True)

    def _post(
        self,
        action: str,
        data: dict[str, Any],
        form: Form,
        words: str,
        *,
        is_shown: bool = False,
        typed: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send a form and roll its effects back. A page that refuses it must still show what was `typed`."""
        by_script = "hx-post" in form.marks
        cookies = copy.deepcopy(self.client.cookies)
        with transaction.atomic():
            with connection.execute_wrapper(self._listen):
                self.writes.clear()
                answer = self.client.post(action, data, headers={**(HTMX if by_script else {}), **(headers or {})})
            wrote = list(self.writes)
            if answer.status_code >= 500 or (is_shown and answer.status_code in (403, 404, 405)):
                self.problems.append(f"{words}: {describe(answer)}")
            elif answer.status_code == 200 and wrote and not by_script and is_page(answer) and "_popup" not in action:
                self.problems.append(f"{words}: a page was rendered by a POST that wrote: {wrote[0][:90]}")
            elif (
                answer.status_code == 200
                and typed
                and is_page(answer)
                and typed not in unescape(answer.content.decode())
            ):
                self.problems.append(f"{words}: what was typed is lost")
            elif answer.status_code == 302 and is_shown:
                self.client.cookies = copy.deepcopy(cookies)
                self._get(urljoin(action, answer.headers["Location"]).removeprefix(HOST), f"the redirect of {action}")
            transaction.set_rollback(True)
        self.client.cookies = cookies

    def _listen(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if WRITES.match(str(sql)) and not BESIDE.search(str(sql)):
            self.writes.append(str(sql))
        return execute(sql, params, many, context)

    # --- Invalid input ---------------------------------------------------------------------------
    def try_nonsense(self, part: int = 0, parts: int = 1) -> None:
        """Request one page of each route with invalid input in each parameter, each id and each header."""
        routes = {kind_of(path): path for path in self.parameters}
        names: dict[str, set[str]] = {}
        for path, found in self.parameters.items():
            names.setdefault(kind_of(path), set()).update(found)
        tries = [(address, "") for route in routes for address in _with_parameters(routes[route], names[route])]
        tries += [(address, "") for path in routes.values() for address in _with_ids(path)]
        tries += [(path, value) for path in routes.values() for value in IN_HEADERS]
        for address, value in share(tries, part, parts):
            answer = self._ask(address, dict.fromkeys(HEADERS, value) if value else None)
            if answer.status_code >= 500:
                self.problems.append(f"{address[:200]} {value[:20]}: {describe(answer)}")

    def try_nonsense_in_forms(self, part: int = 0, parts: int = 1) -> None:
        """Send each form with invalid input in each field and in all; also call each URL that scripts use."""
        tries: list[tuple[str, str, str]] = []
        for kind, (_, form) in self.forms.items():
            names = [name for name in form.kinds if name != "csrfmiddlewaretoken"]
            tries += [(kind, name, value) for name in [*names, "*"] for value in TYPED]
        for kind, name, value in share(tries, part, parts):
            action, form = self.forms[kind]
            changed = dict.fromkeys(form.kinds, value) if name == "*" else {name: value}
            can_be_shown = value.strip() and value.isprintable() and form.kinds.get(name) in WORDS
            words = f"{action} with {name}={value[:20]!r}"
            self._post(action, form.data(**changed), form, words, typed=value if can_be_shown else "")
        for kind, value in share([(kind, value) for kind in self.forms for value in IN_HEADERS], part, parts):
            action, form = self.forms[kind]
            headers = dict.fromkeys(set(HEADERS) - {"Content-Type"}, value)
            self._post(action, form.data(), form, f"{action} with headers {value[:20]!r}", headers=headers)
        for address in sorted(self.scripted):
            self._post(address, {"value": "9223372036854775808", "id": "a\0b"}, Form(), f"a script's POST to {address}")

    def try_ended_session(self) -> None:
        """Send each form once after the session has ended: what a user types is kept."""
        remembered = {name: each.value for name, each in self.client.cookies.items() if name.endswith("_user")}
        for action, form in self.forms.values():
            words = {
                name
                for name, kind in form.kinds.items()
                if kind in WORDS and is_shown(name, "typed") and not SECRET.search(name)
            }
            if not words or "hx-post" in form.marks:
                continue
            client = type(self.client)(raise_request_exception=False)
            client.cookies.load(remembered)
            answer = client.post(action, form.data(**dict.fromkeys(words, "typed")))
            kept = [dict(each["fields"]) for each in client.session.get(KEY, [])]
            lost = [name for name in words if not any(each.get(name) == "typed" for each in kept)]
            if answer.status_code != 302 or lost:
                self.problems.append(f"{action} after the session has ended: {answer.status_code}, lost: {lost}")

    def try_cookies(self, *addresses: str) -> None:
        """Open pages with invalid time zones, and with cookies of arbitrary content."""
        for address in addresses:
            for zone in ZONES:
                self.client.cookies["opsroom_zone"] = zone
                answer = self._ask(address)
                if answer.status_code >= 400:
                    self.problems.append(f"{address} with the zone {zone[:40]!r}: {describe(answer)}")
            self.client.cookies["opsroom_zone"] = ""
            for name in ("messages", "opsroom_anything"):
                self.client.cookies[name] = 'x\\"[{'
                if (answer := self._ask(address)).status_code >= 400:
                    self.problems.append(f"{address} with the cookie {name}: {describe(answer)}")
                del self.client.cookies[name]


def share(tries: list[Any], part: int, parts: int) -> list[Any]:
    """Return one of `parts` equal parts."""
    return [each for each in tries if crc32(repr(each).encode()) % parts == part]


def _with_parameters(path: str, names: set[str]) -> Iterator[str]:
    """Yield the path with invalid input in each known parameter alone, and in all of them and ALWAYS together."""
    for name in sorted(names):
        yield from (f"{path}?{quote(name)}={value}" for value in SCALARS)
        yield f"{path}?{quote(name)}=1&{quote(name)}=2"
    for value in SCALARS:
        yield f"{path}?" + "&".join(f"{quote(name)}={value[:5_000]}" for name in sorted({*names, *ALWAYS}))


def _with_ids(path: str) -> Iterator[str]:
    parts = path.split("/")
    for at, part in enumerate(parts):
        if re.search(r"\d", part):
            yield from ("/".join([*parts[:at], value, *parts[at + 1 :]]) for value in IDS)


def kind_of(address: str) -> str:
    """Return the route and the names of the parameters; "" for a URL that is not visited."""
    split = urlsplit(address)
    if split.netloc or LEFT_ALONE.search(split.path):
        return ""
    try:
        route = resolve(split.path).route
    except Resolver404:
        route = split.path
    names = sorted({name for name, _ in parse_qsl(split.query, keep_blank_values=True)})
    return f"{route}?{','.join(names)}"


def bodies(form: Form) -> Iterator[dict[str, Any]]:
    """Yield the form as each of its buttons sends it, or with each action of a list for its first row."""
    rows = form.choices.get("_selected_action", [])
    actions = [action for action in form.choices.get("action", []) if action] if rows else []
    for action in actions:
        yield form.data(action=action, _selected_action=rows[0], index="0")
    if not actions:
        for name, value in form.buttons[:6] or [("", "")]:
            yield form.data(**({name: value} if name else {}))


def is_page(answer: Any) -> bool:
    return "text/html" in answer.headers.get("Content-Type", "") and b"<html" in answer.content


def describe(answer: Any) -> str:
    error = getattr(answer, "exc_info", None)
    return f"{answer.status_code}" + (f" {error[0].__name__}: {str(error[1])[:200]}" if error and error[0] else "")


def _addresses(links: Iterable[str], where: str) -> list[str]:
    found = (urljoin(f"{HOST}{where}", link) for link in links if not link.startswith(("javascript:", "mailto:")))
    return [each.removeprefix(HOST).partition("#")[0] for each in found if each.startswith(f"{HOST}/")]
