"""Every address of the house."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from config.health import health, ping
from config.media import media
from config.metrics import metrics
from config.schema_view import SchemaView
from config.tokens import Tokens

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("ping/", ping, name="ping"),
    path("health/", health, name="health"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("auth/token/", Tokens.as_view(), name="token"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("media/<path:name>", media, name="media"),
    path("", include("chats.urls")),
    path("", include("projects.urls")),
    path("", include("events.urls")),
    path("", include("testrunner.urls")),
]
if settings.STANDIN:
    urlpatterns += [path("standin/", include("chats.standin"))]

handler400 = "config.problems.bad_request"
handler403 = "config.problems.forbidden"
handler404 = "config.problems.not_found"
handler500 = "config.problems.failed"
