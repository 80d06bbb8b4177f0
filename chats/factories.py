"""Factories with neutral default values for tests and demos. Each test sets the fields that matter to it."""

import uuid
from datetime import timedelta

import factory
from django.utils import timezone

from chats.models import Banner, Broadcast, Chat, Message


class ChatFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Chat

    user_uuid = factory.LazyFunction(uuid.uuid4)


class MessageFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Message

    chat = factory.SubFactory(ChatFactory)
    own_text = factory.Sequence("Message {}".format)


class BannerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Banner

    source_url = factory.Sequence("https://photos.example.com/{}.jpeg".format)
    title = factory.Sequence("Photo {}".format)


class BroadcastFactory(factory.django.DjangoModelFactory):
    """A queued broadcast of a text to all chats."""

    class Meta:
        model = Broadcast

    text = factory.Sequence("Broadcast {}".format)

    class Params:
        scheduled = factory.Trait(
            status=Broadcast.Status.SCHEDULED,
            send_at=factory.LazyFunction(lambda: timezone.now() + timedelta(hours=1)),
        )
        failed = factory.Trait(
            status=Broadcast.Status.FAILED, error="It did not work.", finished_at=factory.LazyFunction(timezone.now)
        )
