"""Which pages may open a WebSocket. A browser sends cookies from any page, so the page's origin must be this site."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain


def origin_allowed(scope: dict[str, Any], *, without: bool) -> bool:
    """Return whether the handshake's Origin is this site (scheme, host and port) or in CSRF_TRUSTED_ORIGINS.

    `without`: the result for a handshake without Origin, which browsers never send.
    """
    origins = header(scope, b"origin")
    if not origins:
        return without
    return len(origins) == 1 and (origins[0].lower() == _ours(scope) or _trusted(origins[0].lower()))


def header(scope: dict[str, Any], name: bytes) -> list[str]:
    """Return every value of a header, as sent."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _ours(scope: dict[str, Any]) -> str | None:
    hosts = header(scope, b"host")
    if len(hosts) != 1 or not validate_host(split_domain_port(hosts[0])[0], settings.ALLOWED_HOSTS):
        return None
    return f"{'https' if _secure(scope) else 'http'}://{hosts[0].lower()}"


def _secure(scope: dict[str, Any]) -> bool:
    """Decide as Django does: by the connection, or by the proxy's header if the settings trust it."""
    if settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        given = header(scope, name.removeprefix("HTTP_").replace("_", "-").lower().encode())
        if given:
            return given[0].split(",")[0].strip() == value
    return scope.get("scheme") in ("wss", "https")


def _trusted(origin: str) -> bool:
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        if "*" not in trusted:
            if origin == trusted:
                return True
        else:
            try:
                given, pattern = urlsplit(origin), urlsplit(trusted)
            except ValueError:
                return False
            if given.scheme == pattern.scheme and is_same_domain(given.netloc, pattern.netloc.lstrip("*")):
                return True
    return False
