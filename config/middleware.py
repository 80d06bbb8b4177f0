"""The headers that every answer has, and the methods that the admin answers."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

# The theme's Alpine build evaluates expressions, hence 'unsafe-eval'; nothing comes from another machine.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# Parts of a browser that no page here uses. Full screen, and writing to the clipboard, stay as they are by default.
UNUSED = (
    "accelerometer ambient-light-sensor autoplay bluetooth browsing-topics camera display-capture encrypted-media "
    "gamepad geolocation gyroscope hid idle-detection local-fonts magnetometer microphone midi payment "
    "publickey-credentials-get screen-wake-lock serial usb web-share xr-spatial-tracking"
)
DEFAULTS = {
    # An answer is for the user who asked: neither a proxy nor the disk of a shared computer keeps it.
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": POLICY,
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
        return response


class AdminMethods:
    """Answer 405 in the admin to what browsers never send: its views take every method but POST for GET."""

    ALLOWED = ("GET", "HEAD", "POST")

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/admin/") and request.method not in self.ALLOWED:
            return HttpResponseNotAllowed(self.ALLOWED)
        return self.get_response(request)
