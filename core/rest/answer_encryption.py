"""Text that only the sender of a secret can have back, such as a stored answer with a write key in it.

The key is made of the sender's secret and of SECRET_KEY, and is stored nowhere. SHAKE-256 of key and nonce is the
stream that hides the text, HMAC-SHA-256 shows whether it was read with the right key. (None of the packages that are
installed anyway encrypts.)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.conf import settings
from django.utils.crypto import salted_hmac

_NONCE, _MAC = 16, 32  # bytes


def seal(text: bytes, secret: str) -> bytes:
    """Return the text, readable with `secret` only."""
    nonce = secrets.token_bytes(_NONCE)
    hidden = _mixed(text, nonce, _key("stream", secret))
    return nonce + _mac(nonce + hidden, secret) + hidden


def unseal(sealed: bytes, secret: str) -> bytes | None:
    """Return the text; None where it was sealed with another secret, or under a SECRET_KEY that no longer counts."""
    nonce, mac, hidden = sealed[:_NONCE], sealed[_NONCE : _NONCE + _MAC], sealed[_NONCE + _MAC :]
    for site_key in site_keys():
        if hmac.compare_digest(mac, _mac(nonce + hidden, secret, site_key)):
            return _mixed(hidden, nonce, _key("stream", secret, site_key))
    return None


def site_keys() -> list[str]:
    """Return SECRET_KEY, and after it those that still count."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _key(purpose: str, secret: str, site_key: str | None = None) -> bytes:
    return salted_hmac(f"core.rest.answer_encryption.{purpose}", secret, secret=site_key, algorithm="sha256").digest()


def _mac(content: bytes, secret: str, site_key: str | None = None) -> bytes:
    return hmac.digest(_key("mac", secret, site_key), content, "sha256")


def _mixed(text: bytes, nonce: bytes, key: bytes) -> bytes:
    stream = hashlib.shake_256(key + nonce).digest(len(text))
    return (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(len(text))
