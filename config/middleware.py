"""What every answer carries."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

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
GetResponse = Callable[[HttpRequest], HttpResponse]


class ContentSecurityPolicy:
    """Give every answer that has none the house's Content-Security-Policy."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
