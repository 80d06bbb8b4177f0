"""`/metrics` for Prometheus, with its own access check."""

import contextlib
import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from config.processes.heartbeats import all_heartbeats
from core.http.problem import problem_response


class Processes(Collector):
    """Age of each process's heartbeat, read from Redis at each scrape. Without Redis no samples are returned."""

    def describe(self) -> list[GaugeMetricFamily]:
        words = "Seconds since a process's last heartbeat"
        return [GaugeMetricFamily("opsroom_process_silence_seconds", words, labels=["kind", "process"])]

    def collect(self) -> list[GaugeMetricFamily]:
        (family,) = self.describe()
        with contextlib.suppress(RedisError, OSError):
            for sign in all_heartbeats():
                family.add_metric([sign.kind, sign.name], sign.age)
        return [family]


REGISTRY.register(Processes())


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Metrics, for `Authorization: Bearer $METRICS_TOKEN` if one is configured, and for signed-in staff."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    known = bool(settings.METRICS_TOKEN) and hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    if known or (request.user.is_authenticated and request.user.is_staff):
        return ExportToDjangoView(request)
    return problem_response(401, "Metrics need METRICS_TOKEN as a bearer token, or a staff session.")
