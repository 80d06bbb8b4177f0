"""Consumer of `ws /ws/notifications/`: authenticates, subscribes, relays. Its messages from and to a client:

    {"type": "subscribe", "topics": ["projects"], "since": 1234}    since: optional, the last number it has seen
    {"type": "unsubscribe", "topics": ["projects"]}
    {"type": "ping"}

    {"seq": 1235, "topic": "projects", "type": "task.created", "data": {…}}    ascending seq, without duplicates
                                                                     data {"reload": true}: too large, load the state
    {"type": "reload", "topics": […]}            too many messages were missed to replay them: load the state
    {"type": "subscribed", "topics": […], "seq": 1240}    after the missed messages; later ones are live
    {"type": "unsubscribed", "topics": […]}, {"type": "pong"}, {"type": "error", "detail": "…", "topic": "…"}

Close codes: 4401 not signed in (any more); 4403 a permission was withdrawn; 4408 too slow; 4409 too many sockets of one
user; 4429 too many messages; 1009 too long; 1003 not text; 1013 try again later. A handshake from a page of another
origin is refused with HTTP 403.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error as DatabaseError

from core.rest.strict_json import read_json
from live import subscriber as closing
from live.access import Credential, credential_of, look_up, protocol_of
from live.hub import encode, get_hub
from live.numbering import replay
from live.origin import origin_allowed
from live.subscriber import Subscriber
from live.uvicorn_fast_path import Wire

MAX_MESSAGE_BYTES = 8 * 1024  # bytes
MAX_TOPICS = 50  # per socket
MAX_MESSAGES = 20  # per second
NO_TOPIC = "There is no such topic, or you may not see it."
FULL = f"A socket can watch {MAX_TOPICS} topics."


class LiveConsumer(AsyncWebsocketConsumer):
    subscriber: Subscriber | None = None

    async def connect(self) -> None:
        self._spoken: deque[float] = deque(maxlen=MAX_MESSAGES)
        credential = credential_of(self.scope)
        if not origin_allowed(self.scope, without=credential is not None and credential.kind == "token"):
            await self.close()
            return
        try:
            await self._welcome(credential)
        except (DatabaseError, TimeoutError):
            if self.subscriber is None:
                await self.accept(protocol_of(self.scope))
            await self.close(closing.TRY_LATER, "try again later")

    async def _welcome(self, credential: Credential | None) -> None:
        """Accept in any case: a browser sees the close code only of a socket that was open."""
        known = await database_sync_to_async(look_up)([credential]) if credential else {}
        await self.accept(protocol_of(self.scope))
        if credential is None or credential not in known:
            await self.close(closing.SIGNED_OUT, "not signed in")
            return
        visitor = known[credential]
        # No await until the hub has added this socket, so two handshakes cannot both take the last place.
        if get_hub().sockets_of(visitor.user_id) >= settings.LIVE_SOCKETS_PER_USER:
            closing.dropped.labels(code=closing.TOO_MANY_SOCKETS).inc()
            await self.close(closing.TOO_MANY_SOCKETS, "too many sockets")
            return
        self.subscriber = Subscriber(
            credential, visitor, send=self.send, close=self.close, wire=Wire(self.base_send)
        )  # fmt: skip
        await get_hub().enter(self.subscriber)

    async def disconnect(self, code: int) -> None:
        if self.subscriber is not None:
            get_hub().leave(self.subscriber)
            self.subscriber.stop()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if (subscriber := self.subscriber) is None:
            return
        if text_data is None:
            subscriber.drop(closing.NOT_TEXT, "text only")
        elif len(text_data.encode()) > MAX_MESSAGE_BYTES:
            subscriber.drop(closing.TOO_BIG, "message too long")
        elif self._too_fast():
            subscriber.drop(closing.TOO_MANY, "too many messages")
        else:
            await self._answer(subscriber, text_data)

    def _too_fast(self) -> bool:
        now = time.monotonic()
        too_fast = len(self._spoken) == MAX_MESSAGES and now - self._spoken[0] < 1
        self._spoken.append(now)
        return too_fast

    async def _answer(self, subscriber: Subscriber, text: str) -> None:
        verbs = {"subscribe": self._subscribe, "unsubscribe": self._unsubscribe, "ping": self._ping}
        try:
            message = read_json(text.encode())
            verb = verbs[message["type"]]
        except (ValueError, TypeError, KeyError):
            await subscriber.answer(
                {"type": "error", "detail": f"Expected one of {', '.join(verbs)}, as a JSON object."}
            )
            return
        try:
            await verb(subscriber, message)
        except ValueError as error:
            await subscriber.answer({"type": "error", "detail": str(error)})
        except DatabaseError:
            subscriber.drop(closing.TRY_LATER, "try again later")

    async def _ping(self, subscriber: Subscriber, message: dict[str, Any]) -> None:
        await subscriber.answer({"type": "pong"})

    async def _unsubscribe(self, subscriber: Subscriber, message: dict[str, Any]) -> None:
        topics = _topics(message)
        get_hub().part(subscriber, topics)
        await subscriber.answer({"type": "unsubscribed", "topics": topics})

    async def _subscribe(self, subscriber: Subscriber, message: dict[str, Any]) -> None:
        since, wanted = _since(message), _topics(message)
        topics = await self._admitted(subscriber, wanted)
        hub = get_hub()
        if since is not None and since > hub.position:
            await hub.catch_up()  # another process may already have read later messages
        subscriber.hold()
        try:
            position = hub.join(subscriber, topics)
            if since is not None and topics:
                await self._replay(subscriber, topics, since, position)
            await subscriber.answer({"type": "subscribed", "topics": topics, "seq": position})
        finally:
            await subscriber.release()

    async def _admitted(self, subscriber: Subscriber, wanted: list[str]) -> list[str]:
        """Return the topics that this socket may join; send an error for each of the others."""
        admitted: list[str] = []
        for topic in wanted:
            if not subscriber.visitor.may_watch(topic):
                await subscriber.answer({"type": "error", "topic": topic, "detail": NO_TOPIC})
            elif len(subscriber.topics.union(admitted, [topic])) > MAX_TOPICS:
                await subscriber.answer({"type": "error", "topic": topic, "detail": FULL})
            else:
                admitted.append(topic)
        return admitted

    async def _replay(self, subscriber: Subscriber, topics: list[str], since: int, position: int) -> None:
        missed = await database_sync_to_async(replay)(topics, since, position)
        if missed is None:
            await subscriber.answer({"type": "reload", "topics": topics})
        for message in missed or ():
            await subscriber.put(encode(message))


def _topics(message: dict[str, Any]) -> list[str]:
    topics = message.get("topics")
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise ValueError("Expected topics, a list of names.")
    return list(dict.fromkeys(topics))


def _since(message: dict[str, Any]) -> int | None:
    since = message.get("since")
    if since is not None and (type(since) is not int or not 0 <= since < 2**63):
        raise ValueError("Expected since to be the last number seen.")
    return since
