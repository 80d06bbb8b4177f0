"""Every address of the events."""

from django.urls import path
from django.urls.resolvers import URLPattern

from events.notification_api import Notifications, OneNotification
from events.script import script

urlpatterns: list[URLPattern] = [
    path("events/opsroom.js", script, name="opsroom-js"),
    path("notifications/", Notifications.as_view(), name="notifications"),
    path("notifications/<uuid:event_id>/", OneNotification.as_view(), name="notification"),
]
