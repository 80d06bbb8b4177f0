"""Indexes for "whose picture is this?". Built without keeping anybody from writing: messages may be millions."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("chats", "0003_content_and_freeze")]

    operations = [
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(fields=["own_image"], condition=~Q(own_image=""), name="chats_message_picture"),
        ),
        AddIndexConcurrently(
            model_name="broadcast",
            index=models.Index(fields=["image"], condition=~Q(image=""), name="chats_broadcast_picture"),
        ),
    ]
