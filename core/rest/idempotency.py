"""`Idempotency-Key`: a POST that is sent twice is executed once and gets the same response twice.

1. A key belongs to its user. If a response is stored under it, the same request (address and body) gets that response
   again, with `Idempotent-Replayed: true`; another request gets 422.
2. Otherwise `prepare` does what must not run in a transaction: calls of other services, subprocesses, image decoding.
   It changes nothing, so two identical requests may run it at the same time.
3. A transaction begins and takes the key's lock. If another request holds the lock, that request is still being
   handled: 409 with Retry-After. Step 1 is repeated under the lock.
4. `handle` does the work, and its response is stored in the same transaction: a process that is killed has done either
   both or nothing. Wake-ups and live messages follow the commit.
5. A 4xx or 5xx response is not stored, because nothing was done: the client may correct its request, or retry.

Responses are kept for KEPT. They are encrypted with the key itself, of which only a hash is stored, because some of
them show a secret once.
https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/, and Stripe's
https://docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.datastructures import MultiValueDict
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from core.database.deadlocks import retried
from core.models import IdempotencyKey
from core.rest.answer_encryption import seal, site_keys, unseal

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
MAX_LENGTH = 255
Prepared = TypeVar("Prepared")
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_LENGTH}}}")


class InvalidKey(exceptions.APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = f"{HEADER} must be 1 to {MAX_LENGTH} visible ASCII characters without spaces, such as a UUID."


class InProgress(exceptions.APIException):
    """The first request with this key is still being handled."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = f"The first request with this {HEADER} is still being handled. Send the same again in a moment."
    wait = 1  # REST framework's name for Retry-After


class KeyReused(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = (
        f"This {HEADER} was used for another request, with another address or body. Use a new key for each new request."
    )


class AnswerLost(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "This request was handled, but its answer cannot be read any more. Look for what it has created."


class IdempotentPosts(APIView):
    """Mixin that handles the header for POST, after the permission check.

    A handler runs in the transaction of its key. Those in `own_transactions`, named by action or, in a view without
    actions, by method, call `once` themselves, because they have something to prepare.
    """

    own_transactions: ClassVar[frozenset[str]] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        handler = getattr(self, "post", None)
        name = getattr(self, "action", None) or "post"
        is_ours = request.user.is_authenticated and name not in self.own_transactions
        if request.method == "POST" and handler and is_ours:
            vars(self)["post"] = partial(self._once, handler)  # REST framework looks the handler up after `initial`

    def once(self, prepare: Callable[[], Prepared], handle: Callable[[Prepared], Response]) -> Response:
        """Return the response to this request; see the module."""
        return once(self.request, self.request.user.pk or 0, prepare, handle)

    def _once(self, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.once(nothing, lambda _: handler(request, *args, **kwargs))


@dataclass(frozen=True)
class _Sent:
    """A request with a key."""

    user_id: int
    key: str
    fingerprints: list[str]  # with SECRET_KEY, and with each fallback key

    @property
    def key_hash(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()

    @property
    def secret(self) -> str:
        return f"{self.user_id}:{self.key}"

    def answer(self) -> Response | None:
        """Return the stored response to this request, or None. Raises KeyReused, AnswerLost."""
        earlier = IdempotencyKey.objects.filter(user_id=self.user_id, key_hash=self.key_hash).first()
        if earlier is None or earlier.expires_at <= timezone.now():
            return None
        content = unseal(bytes(earlier.sealed), self.secret)
        if content is None:  # also after a change of SECRET_KEY, which changes the fingerprints too
            raise AnswerLost
        if earlier.fingerprint not in self.fingerprints:
            raise KeyReused
        data = json.loads(content) if content else None
        return Response(data, status=earlier.status, headers={REPLAYED: "true"})

    def store(self, response: Response) -> None:
        content = b"" if response.data is None else JSONRenderer().render(response.data)
        sealed = seal(content, self.secret)
        answer = {"fingerprint": self.fingerprints[0], "status": response.status_code, "sealed": sealed}
        IdempotencyKey.objects.update_or_create(
            user_id=self.user_id, key_hash=self.key_hash, defaults={**answer, "expires_at": timezone.now() + KEPT}
        )


def nothing() -> None:
    """Prepare nothing."""


def once(
    request: Request,
    user_id: int,
    prepare: Callable[[], Prepared],
    handle: Callable[[Prepared], Response],
    *,
    body: Any = None,
) -> Response:
    """Return the response of `handle`, or the stored one if the same request was handled before.

    `handle` gets the result of `prepare`. `body` replaces the request's body in the comparison.
    """
    if (given := request.headers.get(HEADER)) is None:
        return handle(prepare())
    key = given[1:-1] if len(given) >= 2 and given[0] == given[-1] == '"' else given
    if not _KEY.fullmatch(key):
        raise InvalidKey
    sent = _Sent(user_id, key, _fingerprints(request, body))
    if (earlier := sent.answer()) is not None:
        return earlier
    prepared = prepare()
    return retried(_answered)(request, sent, lambda: handle(prepared))


def _answered(request: Request, sent: _Sent, handle: Callable[[], Response]) -> Response:
    """Handle the request in one transaction. Raises what `handle` raises, after a rollback."""
    with transaction.atomic():
        _lock(sent)
        if (earlier := sent.answer()) is not None:
            return earlier
        for _, files in request.FILES.lists():
            for file in files:
                file.seek(0)
        response = handle()
        if response.status_code >= 400:
            transaction.set_rollback(True)
            return response
        sent.store(response)
        connection.check_constraints()  # report violations now, while they can still be answered, not at the commit
    return response


def _lock(sent: _Sent) -> None:
    """Hold the key's lock until the end of the transaction. Raises InProgress if another request holds it."""
    with connection.cursor() as cursor:
        name = f"live_idempotencykey {sent.user_id} {sent.key_hash}"
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        if not cursor.fetchone()[0]:
            raise InProgress


def _fingerprints(request: Request, body: Any) -> list[str]:
    """Return hashes of address and body: the values of JSON, or the fields and the file contents of a form."""
    if body is None:
        body = dict(request.data.lists()) if isinstance(request.data, MultiValueDict) else request.data
    parts = [request.method, request.path, request.META.get("QUERY_STRING", ""), body]
    text = json.dumps(parts, cls=_RequestEncoder, sort_keys=True)
    return [
        salted_hmac("core.rest.idempotency", text, secret=key, algorithm="sha256").hexdigest() for key in site_keys()
    ]


class _RequestEncoder(JSONEncoder):
    def default(self, obj: Any) -> Any:
        if isinstance(obj, UploadedFile):
            digest = hashlib.sha256()
            for chunk in obj.chunks():
                digest.update(chunk)
            obj.seek(0)
            return [obj.name, obj.size, digest.hexdigest()]
        return super().default(obj)


DESCRIPTION = (
    f"A key of your own, 1 to {MAX_LENGTH} visible ASCII characters, such as a UUID. The same request with the same "
    f"key again within {KEPT // timedelta(hours=1)} hours does nothing and is answered as the first one, with "
    f"`{REPLAYED}: true`. A key is yours: other users may use the same."
)
RESPONSES = {
    "409": "The first request with this key is still being handled (Retry-After), or the state does not allow this.",
    "422": "This key was used for another request.",
}


def document_idempotency(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Schema hook: add the header to each POST."""
    for operations in result.get("paths", {}).values():
        if (operation := operations.get("post")) is None:
            continue
        header = {"in": "header", "name": HEADER, "description": DESCRIPTION}
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": r"^[\x21-\x7e]+$"}
        operation.setdefault("parameters", []).append({**header, "schema": schema})
        for code, words in RESPONSES.items():
            problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            operation["responses"].setdefault(code, {"description": words, "content": problem})
    return result
