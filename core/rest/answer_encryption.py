"""Encryption that only the owner of a secret can undo, such as for a stored response that contains a write key.

The key is derived from that secret and SECRET_KEY, and is not stored. SHAKE-256 of key and nonce is the key stream,
HMAC-SHA-256 authenticates the text. (None of the packages that are installed anyway offers encryption.)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.conf import settings
from django.utils.crypto import salted_hmac

_NONCE, _MAC = 16, 32  # bytes


def seal(text: bytes, secret: str) -> bytes:
    """Return the encrypted text, readable with `secret` only."""
    nonce = secrets.token_bytes(_NONCE)
    hidden = _mixed(text, nonce, _key("stream", secret))
    return nonce + _mac(nonce + hidden, secret) + hidden


def unseal(sealed: bytes, secret: str) -> bytes | None:
    """Return the text; None if it was encrypted with another secret or a SECRET_KEY that is not configured any more."""
    nonce, mac, hidden = sealed[:_NONCE], sealed[_NONCE : _NONCE + _MAC], sealed[_NONCE + _MAC :]
    for site_key in site_keys():
        if hmac.compare_digest(mac, _mac(nonce + hidden, secret, site_key)):
            return _mixed(hidden, nonce, _key("stream", secret, site_key))
    return None


def site_keys() -> list[str]:
    """Return SECRET_KEY and the fallbacks."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _key(purpose: str, secret: str, site_key: str | None = None) -> bytes:
    return salted_hmac(f"core.rest.answer_encryption.{purpose}", secret, secret=site_key, algorithm="sha256").digest()


def _mac(content: bytes, secret: str, site_key: str | None = None) -> bytes:
    return hmac.digest(_key("mac", secret, site_key), content, "sha256")


def _mixed(text: bytes, nonce: bytes, key: bytes) -> bytes:
    stream = hashlib.shake_256(key + nonce).digest(len(text))
    return (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(len(text))
