"""Every address of the events."""

from django.urls import path
from django.urls.resolvers import URLPattern

from events.script import script

urlpatterns: list[URLPattern] = [
    path("events/opsroom.js", script, name="opsroom-js"),
]
