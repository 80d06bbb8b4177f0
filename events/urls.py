"""URL patterns of the REST API of events. POST /events/ does not reach them: config/asgi.py passes it to
events/ingest/asgi_app.py.
"""

from django.urls import path, register_converter
from rest_framework.routers import SimpleRouter

from events.api.applications import ApplicationsView, EventTypesView, SchemaVersionsView, WriteKeyView
from events.api.events import EventsView, SessionsView, SessionView
from events.api.notifications import NotificationsView, NotificationView
from events.api.rejected import FormerReplay, FormerReplays, RejectedEventsView, ReplaysView, ReplayView
from events.api.script import script
from events.session_address import AnyText

register_converter(AnyText, "any_text")
router = SimpleRouter(use_regex_path=False)
router.register("applications", ApplicationsView)
router.register("event-types", EventTypesView)
router.register("events", EventsView)
router.register("rejected-events", RejectedEventsView)

urlpatterns = [
    path("events/opsroom.js", script, name="opsroom-js"),
    path("applications/<int:application_id>/keys/<int:pk>/", WriteKeyView.as_view(), name="write-key"),
    path("event-types/<int:event_type_id>/versions/", SchemaVersionsView.as_view(), name="schema-versions"),
    path("replays/", ReplaysView.as_view(), name="replays"),
    path("replays/<int:pk>/", ReplayView.as_view(), name="replay"),
    # The former paths of replays. As URL templates they were ambiguous with rejected-events/{id}/replay.
    path("rejected-events/replays/", FormerReplays.as_view()),
    path("rejected-events/replays/<int:pk>/", FormerReplay.as_view()),
    path("sessions/", SessionsView.as_view(), name="sessions"),
    path("sessions/<any_text:session_id>/", SessionView.as_view(), name="session"),
    path("notifications/", NotificationsView.as_view(), name="notifications"),
    path("notifications/<any_uuid:event_id>/", NotificationView.as_view(), name="notification"),
    *router.urls,
]
