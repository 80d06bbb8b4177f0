"""All URLs of Opsroom."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from config.monitoring.health import health, ping
from config.monitoring.metrics import metrics
from config.rest.schema_view import SchemaView
from config.rest.tokens import TokensView
from config.server.media import media
from core.registry import all_apps

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("ping/", ping, name="ping"),
    path("health/", health, name="health"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("auth/token/", TokensView.as_view(), name="token"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("media/<path:name>", media, name="media"),
    *(path("", include(app.urls)) for app in all_apps() if app.urls),
]

handler400 = "config.rest.error_handlers.bad_request"
handler403 = "config.rest.error_handlers.forbidden"
handler404 = "config.rest.error_handlers.not_found"
handler500 = "config.rest.error_handlers.failed"
