"""Every address of the events. POST /events/ never comes this far: config/asgi.py hands it to
events/ingest/asgi_app.py.
"""

from django.urls import path, register_converter
from rest_framework.routers import SimpleRouter

from events.api.applications import Applications, EventTypes, OneKey, SchemaVersions
from events.api.events import Events, OneSession, Sessions
from events.api.notifications import Notifications, OneNotification
from events.api.rejected import FormerReplay, FormerReplays, OneReplay, RejectedEvents, Replays
from events.api.script import script
from events.session_address import AnyText

register_converter(AnyText, "any_text")
router = SimpleRouter(use_regex_path=False)
router.register("applications", Applications)
router.register("event-types", EventTypes)
router.register("events", Events)
router.register("rejected-events", RejectedEvents)

urlpatterns = [
    path("events/opsroom.js", script, name="opsroom-js"),
    path("applications/<int:application_id>/keys/<int:pk>/", OneKey.as_view(), name="write-key"),
    path("event-types/<int:event_type_id>/versions/", SchemaVersions.as_view(), name="schema-versions"),
    path("replays/", Replays.as_view(), name="replays"),
    path("replays/<int:pk>/", OneReplay.as_view(), name="replay"),
    # As they were called first; as templates of addresses they could not be told from rejected-events/{id}/replay.
    path("rejected-events/replays/", FormerReplays.as_view()),
    path("rejected-events/replays/<int:pk>/", FormerReplay.as_view()),
    path("sessions/", Sessions.as_view(), name="sessions"),
    path("sessions/<any_text:session_id>/", OneSession.as_view(), name="session"),
    path("notifications/", Notifications.as_view(), name="notifications"),
    path("notifications/<any_uuid:event_id>/", OneNotification.as_view(), name="notification"),
    *router.urls,
]
