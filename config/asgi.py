"""ASGI application: one kind of web process, one port, and which part handles which request.

uvicorn reads the requests with config/server/http_protocol.py, which limits heads and connections.

    /ws/notifications/  Channels: the one WebSocket, for all live messages (live/consumer.py). Reads the database in two
                        threads of its own, with one connection each, however many sockets are open
    /ping/, /health/    the event loop (config/server/health_endpoint.py)
    /static/…           files, sent by the event loop (config/server/static_files.py)
    /admin/login/ …     requests that check a password: config/server/login_throttle.py, then Django
    paths of apps       ASGI applications that an app registers, such as the ingest of events at POST /events/
                        (events/ingest/asgi_app.py), and paths for which it needs a separate pool of threads
                        (core/registry.py)
    everything else     Django, in a bounded pool of threads with persistent connections to Postgres

Why WSGI in threads inside an ASGI server: Django's own ASGI handler runs every request in a new thread with a new
connection; benchmarks/serving.py measures the difference in throughput and in connections.
"""

import gc
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from config.wsgi import application as django  # sets Django up, which the other imports need

# isort: split
from config.server.connections import allow_open_files
from config.server.health_endpoint import HealthEndpoint
from config.server.lifespan import RequestProgress, lifespan
from config.server.login_throttle import LoginThrottle
from config.server.memory_limit import limit_memory
from config.server.static_files import StaticFiles
from config.server.wsgi_bridge import Bridge
from core.registry import all_apps
from live.consumer import LiveConsumer

THREADS = 10  # one Postgres connection each
_progress = RequestProgress(django, threads=THREADS)
_django = Bridge(_progress, threads=THREADS)
_health = HealthEndpoint()
_login = LoginThrottle(_django)
_static = StaticFiles()
_notifications = LiveConsumer.as_asgi()
_routes = {
    path: (route.methods, application)
    for app in all_apps()
    for route in app.asgi
    for application in [import_string(route.application)()]
    for path in (route.path, route.path.rstrip("/"))
}
_own_threads = [(path, Bridge(django, threads=n)) for app in all_apps() for path, n in app.own_threads.items()]
allow_open_files()
limit_memory(settings.WEB_MAX_MEMORY_MB)

# Everything loaded so far stays in memory. Without freezing, the garbage collector scanned half a million objects for
# every few batches of events: a third of the cost of a batched event, and most of its slowest responses.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 10, 10)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application that uvicorn runs."""
    if scope["type"] == "websocket" and scope["path"] in ("/ws/notifications/", "/ws/notifications"):
        await _notifications(scope, receive, send)
    elif scope["type"] == "lifespan":
        await lifespan(_progress, receive, send)
    elif scope["type"] != "http":
        await send({"type": "websocket.close", "code": 4404})
    elif (route := _routes.get(scope["path"])) and scope["method"] in route[0]:
        await route[1](scope, receive, send)
    elif HealthEndpoint.handles(scope):
        await _health(scope, receive, send)
    elif LoginThrottle.handles(scope):
        await _login(scope, receive, send)
    elif scope["path"].startswith(settings.STATIC_URL):
        await _static(scope, receive, send)
    else:
        bridge = next((bridge for prefix, bridge in _own_threads if scope["path"].startswith(prefix)), _django)
        await bridge(scope, receive, send)
