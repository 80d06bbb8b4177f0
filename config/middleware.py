"""The headers that every answer has, and the methods that the admin answers."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict

# Nothing comes from another machine, and no script stands in a page. Two exceptions that the theme needs: its Alpine
# evaluates the expressions of attributes ('unsafe-eval'), and widths, places and colours are in style attributes.
PAGE = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",
        "script-src-attr 'none'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# JSON, downloads and pictures load nothing, also where a browser is made to show one as a page.
DATA = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
# Parts of a browser that no page here uses, by the names that Chromium knows. Writing to the clipboard stays allowed.
UNUSED = (
    "accelerometer autoplay browsing-topics camera display-capture encrypted-media fullscreen gamepad geolocation "
    "gyroscope hid idle-detection local-fonts magnetometer microphone midi payment publickey-credentials-get "
    "screen-wake-lock serial usb xr-spatial-tracking"
)
DEFAULTS = {
    # An answer is for the user who asked: neither a proxy nor the disk of a shared computer keeps it.
    "Cache-Control": "private, no-store",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED.split()),
    "X-Content-Type-Options": "nosniff",
}
GetResponse = Callable[[HttpRequest], HttpResponse]


class DefaultHeaders:
    """Give every answer the headers that its view did not set."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in DEFAULTS.items():
            response.headers.setdefault(name, value)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault("Content-Security-Policy", PAGE if is_page else DATA)
        return response


class AdminRequests:
    """What the admin's views count on, of every request.

    Methods that browsers never send get 405: the views take each of them but POST for GET. NUL is taken out of the
    query: Postgres holds none in a text, and lists, filters and choices hand on what they are asked for. Of what is
    searched for the beginning counts, as the lists compare each word with each of their columns. An empty name of the
    column by which a row is meant is left out: Django looks for a column without a name.
    """

    ALLOWED = ("GET", "HEAD", "POST")
    SEARCHES = ("q", "term")  # of lists, and of choices
    LONGEST_SEARCH = 200  # characters
    COLUMN = "_to_field"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/admin/"):
            if request.method not in self.ALLOWED:
                return HttpResponseNotAllowed(self.ALLOWED)
            request.META["QUERY_STRING"] = self._query(request.META["QUERY_STRING"].replace("%00", ""))
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        if request.path_info.startswith("/admin/") and request.POST.get(self.COLUMN) == "":
            form = request.POST.copy()
            del form[self.COLUMN]
            request.POST = form  # type: ignore[assignment]  # which is as good as one that cannot change

    def _query(self, text: str) -> str:
        if len(text) <= self.LONGEST_SEARCH and self.COLUMN not in text:
            return text
        query = QueryDict(text, mutable=True)
        for name in self.SEARCHES:
            if name in query:
                query[name] = str(query[name])[: self.LONGEST_SEARCH]
        if query.get(self.COLUMN) == "":
            del query[self.COLUMN]
        return query.urlencode()
