from django.apps import AppConfig

from core import report_sections
from core.registry import App, AsgiRoute, FrontPageCard, Page, ScheduledTask, register


class GardenConfig(AppConfig):
    name = "config.tests.fifth_app"

    def ready(self) -> None:
        from config.tests.fifth_app import garden

        report_sections.register("Garden", lambda day: [("Plants watered", 7)])
        register(
            "garden",
            App(
                title="Garden",
                pages=[Page("Plants", "yard", "plants", "auth.view_user")],
                cards=[FrontPageCard("plants", 35, "card-side", garden.card)],
                search=[garden.search],
                urls="config.tests.fifth_app.garden",
                asgi=[AsgiRoute("/seeds/", ("POST",), "config.tests.fifth_app.garden.Seeds")],
                schedule=[ScheduledTask("water plants", "garden.tasks.water", every=60, expires=60)],
                health={"soil": lambda: "moist"},
            ),
        )
