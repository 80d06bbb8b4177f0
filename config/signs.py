"""Signs of life in the cache: who was last heard of when. Lost with Redis, and back within seconds."""

import time

from django.core.cache import cache

KEPT_SECONDS = 24 * 3600


def leave_sign(kind: str, name: str = "") -> None:
    """Remember that `kind` (worker, beat) was alive just now. Never an error."""
    cache.set(f"sign:{kind}", {"at": time.time(), "name": name}, KEPT_SECONDS)


def sign_age(kind: str) -> float | None:
    """Return how many seconds ago `kind` was last heard of, or None if never."""
    sign = cache.get(f"sign:{kind}")
    return None if sign is None else max(0.0, time.time() - sign["at"])
