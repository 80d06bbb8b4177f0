"""`/metrics` for Prometheus, behind a guard of its own."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from config.problems import problem_response


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For `Authorization: Bearer $METRICS_TOKEN`, where one is set, and for signed-in staff."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    known = bool(settings.METRICS_TOKEN) and hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    if known or (request.user.is_authenticated and request.user.is_staff):
        return ExportToDjangoView(request)
    return problem_response(401, "Metrics need METRICS_TOKEN as a bearer token, or a staff session.")
