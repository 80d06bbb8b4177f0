"""Every address of the test runner."""

from django.urls.resolvers import URLPattern

urlpatterns: list[URLPattern] = []
