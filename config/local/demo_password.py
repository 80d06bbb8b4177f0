"""Public password of the demo users. It works on a local instance only."""

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied

DEMO_PASSWORD = "12345"  # noqa: S105  known on purpose
WARNING = (
    "Every user and program on this computer can sign in with this password. On a shared computer, "
    "change the demo users' passwords or delete these users."
)


class RefuseDemoPassword:
    """Authentication backend that refuses the demo password outside local mode, even with a demo database.

    Not a BaseBackend, whose module needs the models: the launcher imports this module without them.
    """

    def authenticate(self, request: Any, password: str | None = None, **_: Any) -> None:
        if password == DEMO_PASSWORD and not settings.LOCAL:
            raise PermissionDenied("The demo password opens local instances only.")
