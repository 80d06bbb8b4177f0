"""Session ids in URLs. A session id is any text of 1 to 100 characters, including characters with a meaning in URLs.

Clients and proxies remove the path segments `.` and `..`, even when they are written as %2E. The admin therefore writes
such an id as `_2E`. The REST API expects it percent-encoded twice: %252E.
"""

from __future__ import annotations

import re

from django.contrib.admin.utils import quote, unquote
from django.urls import reverse
from django.urls.converters import StringConverter

_DOTS = re.compile(r"\.{1,2}")
_QUOTED_DOTS = re.compile(r"(?:_2E){1,2}")  # quote() writes any other underscore as _5F


class AnyText(StringConverter):
    """A path converter that accepts any text, including slashes and line breaks, but no NUL, which Postgres refuses."""

    regex = r"[^\0]+"


def page_of(session_id: str) -> str:
    """Return the URL path of a session's page in the admin."""
    quoted = session_id.replace(".", "_2E") if _DOTS.fullmatch(session_id) else quote(session_id)
    return reverse("admin:events_session_change", args=[quoted])


def id_in(object_id: str) -> str:
    """Return the session id from the object id in the URL of its admin page: the inverse of `page_of`."""
    return object_id.replace("_2E", ".") if _QUOTED_DOTS.fullmatch(object_id) else unquote(object_id)
