"""Session ids in addresses: any text of 1 to 100 characters, also what means something else in a URL.

Clients and proxies take `.` and `..` out of a path, also where they are written as %2E. In the admin such an id is
written as `_2E`, in the REST interface it is percent-encoded twice: %252E.
"""

from __future__ import annotations

import re

from django.contrib.admin.utils import quote, unquote
from django.urls import reverse
from django.urls.converters import StringConverter

_DOTS = re.compile(r"\.{1,2}")
_QUOTED_DOTS = re.compile(r"(?:_2E){1,2}")  # quote() writes any other underscore as _5F


class AnyText(StringConverter):
    """A path converter that takes slashes and line breaks as well, and what Postgres can hold."""

    regex = r"[^\0]+"


def page_of(session_id: str) -> str:
    """Return the address of a session's page in the admin."""
    quoted = session_id.replace(".", "_2E") if _DOTS.fullmatch(session_id) else quote(session_id)
    return reverse("admin:events_session_change", args=[quoted])


def id_in(object_id: str) -> str:
    """Return the session id of such an address."""
    return object_id.replace("_2E", ".") if _QUOTED_DOTS.fullmatch(object_id) else unquote(object_id)
