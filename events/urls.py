"""Every address of the events."""

from django.urls.resolvers import URLPattern

urlpatterns: list[URLPattern] = []
