"""Fake rows for tests and demos."""

import hashlib
from itertools import count
from uuid import uuid4

import factory
from django.utils import timezone

from events.models import Application, Event, EventType, Notification, RejectedEvent, WriteKey

_ids = count(1)  # far below the ids of ingested events, which begin at BATCH_ROWS


class ApplicationFactory(factory.django.DjangoModelFactory[Application]):
    class Meta:
        model = Application

    name = factory.Sequence(lambda number: f"Application {number}")
    rate = 0  # unlimited


class WriteKeyFactory(factory.django.DjangoModelFactory[WriteKey]):
    """A write key whose plain text is the parameter `secret`. The database holds only its hash."""

    class Meta:
        model = WriteKey

    class Params:
        secret = factory.Sequence(lambda number: f"wk_secret-{number:04}")

    application = factory.SubFactory(ApplicationFactory)
    prefix = factory.LazyAttribute(lambda key: key.secret[:8])
    key_hash = factory.LazyAttribute(lambda key: hashlib.sha256(key.secret.encode()).hexdigest())


class EventTypeFactory(factory.django.DjangoModelFactory[EventType]):
    class Meta:
        model = EventType

    category = "page interaction"
    name = factory.Sequence(lambda number: f"event {number}")


class EventFactory(factory.django.DjangoModelFactory[Event]):
    class Meta:
        model = Event

    id = factory.LazyFunction(lambda: next(_ids))
    application = factory.SubFactory(ApplicationFactory)
    event_id = factory.LazyFunction(uuid4)
    session_id = factory.LazyFunction(lambda: str(uuid4()))
    category = "page interaction"
    name = "pageview"
    data = factory.LazyFunction(lambda: {"host": "www.example.com", "path": "/"})
    timestamp = factory.LazyFunction(timezone.now)


class RejectedEventFactory(factory.django.DjangoModelFactory[RejectedEvent]):
    class Meta:
        model = RejectedEvent

    id = factory.LazyFunction(lambda: next(_ids))
    application = factory.SubFactory(ApplicationFactory)
    event_id = factory.LazyFunction(uuid4)
    category = "page interaction"
    name = "pageview"
    code = "required"
    pointer = "/data"
    reasons = factory.LazyFunction(
        lambda: [{"code": "required", "pointer": "/data", "message": '"host" is a required property'}]
    )
    raw = b'{"category": "page interaction", "name": "pageview", "data": {}}'
    raw_hash = factory.LazyAttribute(lambda event: hashlib.sha256(event.raw).hexdigest())


class NotificationFactory(factory.django.DjangoModelFactory[Notification]):
    class Meta:
        model = Notification

    user_id = factory.LazyFunction(lambda: str(uuid4()))
    description = "Your order is on its way."
