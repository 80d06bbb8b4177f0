"""Default response headers, and clean-up of requests to the admin."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict

# Everything is loaded from this site, and pages contain no inline scripts. The theme needs two exceptions: Alpine
# evaluates expressions in attributes ('unsafe-eval'), and widths, positions and colours are in style attributes.
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
# JSON, downloads and images load nothing, even if a browser is made to display one as a page.
DATA = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
# Browser features that no page uses, by Chromium's names. Writing to the clipboard stays allowed.
UNUSED = (
    "accelerometer autoplay browsing-topics camera display-capture encrypted-media fullscreen gamepad geolocation "
    "gyroscope hid idle-detection local-fonts magnetometer microphone midi payment publickey-credentials-get "
    "screen-wake-lock serial usb xr-spatial-tracking"
)
DEFAULTS = {
    # A response is for one user only: neither a proxy nor the disk of a shared computer may store it.
    "Cache-Control": "private, no-store",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED.split()),
    "X-Content-Type-Options": "nosniff",
}
GetResponse = Callable[[HttpRequest], HttpResponse]


class DefaultHeaders:
    """Middleware that adds the default headers that a view did not set."""

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
    """Middleware that makes requests safe for the admin's views.

    Methods that browsers never send get 405, because the views treat every method except POST as GET. NUL is removed
    from the query, because Postgres cannot store it in text, and lists, filters and choices pass on what they get.
    Search texts are cut to MAX_SEARCH_LENGTH, because lists compare each word with each of their columns. An empty name
    of the column that identifies a row is removed: Django would look for a column without a name.
    """

    ALLOWED = ("GET", "HEAD", "POST")
    SEARCHES = ("q", "term")  # parameters of lists, and of choices
    MAX_SEARCH_LENGTH = 200  # characters
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
            request.POST = form  # type: ignore[assignment]  # mutable, but otherwise equal

    def _query(self, text: str) -> str:
        if len(text) <= self.MAX_SEARCH_LENGTH and self.COLUMN not in text:
            return text
        query = QueryDict(text, mutable=True)
        for name in self.SEARCHES:
            if name in query:
                query[name] = str(query[name])[: self.MAX_SEARCH_LENGTH]
        if query.get(self.COLUMN) == "":
            del query[self.COLUMN]
        return query.urlencode()
