from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core import report_sections
from core.http.url_policy import origin
from core.registry import App, Button, Erasure, FrontPageCard, Page, ScheduledTask, register
from live import topics


class ChatsConfig(AppConfig):
    """App config: one chat per user, and banners and broadcasts that go to all chats."""

    name = "chats"

    def ready(self) -> None:
        topics.register("broadcasts", "chats.view_broadcast")
        topics.register("broadcast", "chats.view_broadcast")
        topics.register("chat", "chats.view_message")
        from chats import erasure, files, report_section, retention  # imported here: they need the loaded models
        from chats.admin import front_page
        from chats.demo.fake import create_demo_chats
        from core.data.retention import Work

        report_sections.register("Chats", report_section.count)
        register(
            "chats",
            App(
                title="Chats",
                pages=[
                    Page("Chats", "forum", "admin:chats_chat_changelist", "chats.view_chat"),
                    Page("Broadcasts", "campaign", "admin:chats_broadcast_changelist", "chats.view_broadcast"),
                    Page("Banners", "photo_library", "admin:chats_banner_changelist", "chats.view_banner"),
                ],
                cards=[
                    FrontPageCard("moving", 10, "card-main", front_page.moving),
                    FrontPageCard("figures", 20, "card-side", front_page.figures),
                    FrontPageCard("recent", 70, "card-main", front_page.recent),
                ],
                buttons=[
                    Button("New broadcast", "edit", "admin:chats_broadcast_add", "chats.send_broadcast", is_main=False),
                    Button(
                        "Send banner", "send", "admin:chats_chat_send_banner", "chats.send_broadcast", is_dialog=True
                    ),
                ],
                search=[front_page.search],
                urls="chats.urls",
                # The banner client calls the fake banner API from inside a request, and must not wait for threads that
                # are busy calling.
                own_threads={"/fake-banner-api/": 2} if settings.FAKE_BANNER_API else {},
                api_tags={
                    "broadcasts": "One text or picture to all chats, or to some.",
                    "chats": "A user's chat and its messages.",
                },
                schedule=[
                    ScheduledTask("sweep broadcasts", "chats.tasks.sweep_broadcasts", every=3, expires=10),
                    ScheduledTask("sweep files", "chats.tasks.sweep_files", every=600, expires=600),
                ],
                queues={
                    "chats.tasks.prepare_broadcast": "broadcasts",
                    "chats.tasks.fan_out_broadcast": "broadcasts",
                },
                may_see_file=files.may_see,
                retention=[Work("chat messages", "MESSAGE_DAYS", retention.count_old, retention.delete_old)],
                erasure=Erasure(erasure.count, erasure.erase),
                create_demo=create_demo_chats,
            ),
        )
        for trusted in settings.BANNER_TRUSTED_ORIGINS:
            try:
                origin(trusted)
            except ValueError as error:
                raise ImproperlyConfigured(
                    f"BANNER_TRUSTED_ORIGINS: {trusted} is not of the form scheme://host:port."
                ) from error
