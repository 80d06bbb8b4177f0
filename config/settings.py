"""The one settings file: every difference between machines is an environment variable.

Safe by default. Without `OPSROOM_LOCAL=1` (set by `make run`, `make test` and a manage.py that runs on embedded
services) the process refuses to start with a weak secret, DEBUG or a `*` host.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.logs import logging_config
from config.pages.navigation import UNFOLD  # noqa: F401  the theme's settings, long enough for a separate file
from config.settings_validation import days, flag, refuse_renamed, refuse_unsafe, time_zone, whole

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- What this process is -----------------------------------------------------------------------
LOCAL = flag(env, "OPSROOM_LOCAL", default=False)  # a loopback-only instance on one developer's machine
HOME = Path(env.str("OPSROOM_HOME", default=str(BASE_DIR / ".opsroom"))).absolute()
PORT = whole(env, "PORT", default=8000, least=1, most=65_535)
DEBUG = flag(env, "DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if LOCAL else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
refuse_renamed(env)
refuse_unsafe(local=LOCAL, secret_key=SECRET_KEY, debug=DEBUG, allowed_hosts=ALLOWED_HOSTS)

INSTALLED_APPS = [
    "config",  # before the theme, some of whose templates it replaces
    "unfold",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "accounts",
    "core",
    "live",
    "chats",
    "projects",
    "events",
    "testrunner",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "config.server.static_storage.WithoutSourceMaps",
    "axes",
    "django_celery_beat",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "simple_history",
]

MIDDLEWARE = [
    "config.request_ids.RequestIds",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "config.middleware.DefaultHeaders",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.rest.slashes.EitherSlash",  # before the middlewares that use the path
    "django.middleware.common.CommonMiddleware",
    "config.middleware.AdminRequests",
    # After the middlewares for every response, before those it does not need
    "projects.cached_views.CachedListMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.OwnZone",
    "config.pages.sliding_sessions.SlidingSessions",
    "config.pages.kept_forms.KeptForms",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Connections of one web process: config/server/connections.py ----------------------------------------
CONNECTIONS = whole(env, "CONNECTIONS", default=3_000, least=1, most=100_000)
# Without proxies.
CONNECTIONS_PER_ADDRESS = whole(
    env, "CONNECTIONS_PER_ADDRESS", default=min(1_000, CONNECTIONS), least=1, most=CONNECTIONS
)

# config/server/memory_limit.py; 0 = unlimited.
WEB_MAX_MEMORY_MB = whole(env, "WEB_MAX_MEMORY_MB", default=1024, least=0, most=1_000_000)
if 0 < WEB_MAX_MEMORY_MB < 256:
    raise ImproperlyConfigured("WEB_MAX_MEMORY_MB must be 256 to 1000000 MiB, or 0: no limit.")

# --- Postgres: the authoritative data -----------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL")}
# If DATABASE_URL names a PgBouncer in transaction mode, the URL of Postgres itself: see
# core/database/direct_connections.py.
DATABASE_DIRECT = env.db_url("DATABASE_DIRECT_URL") if env.str("DATABASE_DIRECT_URL", default="") else None
# A forgotten transaction must not block vacuum, and a query or a lock must not block a whole pool of threads.
DATABASE_LIMITS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
DATABASE_STARTUP_OPTIONS = " ".join(f"-c {name}={value}" for name, value in DATABASE_LIMITS.items())
DATABASES["default"] |= {
    # Requests run in a fixed pool of threads (config/asgi.py), so connections persist, one per thread.
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    "DISABLE_SERVER_SIDE_CURSORS": DATABASE_DIRECT is not None,
}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    "connect_timeout": 3,
    "application_name": env.str("OPSROOM_PROCESS", default="opsroom"),
    # A pooler refuses startup options. With one, the limits are settings of the role, which `migrate` writes.
    **({} if DATABASE_DIRECT else {"options": DATABASE_STARTUP_OPTIONS}),
}

# --- Redis: cache and live hints; the broker ---------------------------------------------------
REDIS_URL = env.str("REDIS_URL")  # its database is used by the cache
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL")
# Short timeouts everywhere, because a request must not wait for a peer that is unreachable or does not respond.
# One retry, because a pooled connection may be stale; the default is several, with pauses.
REDIS_TIMEOUTS: dict[str, Any] = {"socket_timeout": 1, "retry": Retry(NoBackoff(), 1)}
if urlsplit(REDIS_URL).scheme != "unix":  # connecting to a unix socket does not wait
    REDIS_TIMEOUTS["socket_connect_timeout"] = 1
CACHES = {
    "default": {
        "BACKEND": "core.redis_cache.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": env.str("CACHE_PREFIX", default="opsroom"),
        "OPTIONS": {**REDIS_TIMEOUTS, **dict.fromkeys(REDIS_TIMEOUTS.keys() - {"retry"}, 0.3)},  # slower is useless
    }
}

# --- Authentication and HTTPS -------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "config.local.demo_password.RefuseDemoPassword",
    "accounts.backends.PasswordBackend",
]
PASSWORD_HASHERS = ["accounts.hashers.LoginUpgradedHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LOGOUT_REDIRECT_URL = "admin:login"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # an attacker's guesses must not lock the owner out
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "config.lockout.name_of"
AXES_LOCKOUT_CALLABLE = "config.lockout.locked_out"
AXES_VERBOSE = False
AXES_CLIENT_STR_CALLABLE = "config.lockout.described"
AXES_CLIENT_IP_CALLABLE = "core.http.client_ip.client_network"
# The number of X-Forwarded-For entries that are written by our own proxies.
PROXY_COUNT = whole(env, "PROXY_COUNT", default=0, least=0, most=10)
TOKEN_DAYS = whole(env, "TOKEN_DAYS", default=365, least=1, most=3_650)  # lifetime of a token
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
SIMPLE_HISTORY_REVERT_DISABLED = True  # history is read-only: core/admin/row_history.py

HTTPS = flag(env, "HTTPS", default=not LOCAL)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
# Subdomains belong to other services, and the preload list is built into browsers: both only if configured.
HSTS_SECONDS = whole(env, "HSTS_SECONDS", default=31_536_000, least=0, most=63_072_000)
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS and flag(env, "HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = HTTPS and flag(env, "HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # they demand both
SECURE_REDIRECT_EXEMPT = [r"^ping/$", r"^health/$", r"^metrics$"]  # requested internally over plain HTTP
if flag(env, "TRUST_FORWARDED_PROTO", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_NAME = f"opsroom_session_{PORT}" if LOCAL else "opsroom_session"  # cookies ignore ports
CSRF_COOKIE_NAME = f"opsroom_csrf_{PORT}" if LOCAL else "opsroom_csrf"
CSRF_FAILURE_VIEW = "config.pages.kept_forms.csrf_failure"
SESSION_COOKIE_AGE = 8 * 3600  # since its last use: config/pages/sliding_sessions.py
SESSION_SAVE_EVERY_REQUEST = False
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024  # a pasted list of 200,000 UUIDs
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000

# --- Formats, time, files -----------------------------------------------------------------------
FORMAT_MODULE_PATH = ["config.formats"]
LANGUAGE_CODE = "en-gb"
# The zone of report days, and of users who have not chosen one.
TIME_ZONE = time_zone(env, "TIME_ZONE")
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
MEDIA_URL = "/media/"
MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(HOME / "media"))
# Locally, files are served from the source tree; the image collects, compresses and fingerprints them.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = LOCAL
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LOCAL
        else "config.server.static_storage.StaticStorage"
    },
}

# --- REST ---------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.TokenAuthentication",  # first, so that anonymous requests get 401
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["config.rest.defaults.ModelPermissions"],
    "DEFAULT_PARSER_CLASSES": [
        "core.rest.json_parser.StrictJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.rest.negotiation.ByNameOrType",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "config.rest.defaults.DefaultPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would describe every field to every user; /schema/ describes the API
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.rest.error_handlers.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Opsroom",
    "DESCRIPTION": "The one place from which a product team runs its day.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "NotificationStatusEnum": "events.models.Notification.Status",
        "TestRunStatus": "testrunner.models.TestRun.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "core.rest.idempotency.document_idempotency",  # before the ingest, whose events have their own ids
        "events.api.openapi.document_ingest",
        "config.rest.error_handlers.document_problems",
        "core.rest.preconditions.document_preconditions",
        "config.rest.defaults.document_ids",
        "config.rest.openapi.describe",
    ],
}

# --- Logs ---------------------------------------------------------------------------------------
LOGGING = logging_config(human=LOCAL, level=env.str("LOG_LEVEL", default="INFO"))
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True  # validated by config/request_ids.py
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # it trusts any X-Forwarded-For; core/http/client_ip.py does not

# --- chats --------------------------------------------------------------------------------------
FAKE_BANNER_API = LOCAL and not env.str("BANNER_API_URL", default="")
BANNER_API_URL = env.str(
    "BANNER_API_URL", default=f"http://127.0.0.1:{PORT}/fake-banner-api/photos/" if FAKE_BANNER_API else ""
)
if not BANNER_API_URL:
    raise ImproperlyConfigured("BANNER_API_URL is not set: the address of the banner API's list of photos.")
# Origins (scheme://host:port) that may be plain HTTP and in the internal network, because the operator trusts them.
BANNER_TRUSTED_ORIGINS = env.list(
    "BANNER_TRUSTED_ORIGINS", default=[f"http://127.0.0.1:{PORT}"] if FAKE_BANNER_API else []
)
BROADCAST_WORKERS = whole(env, "BROADCAST_WORKERS", default=2, least=1, most=100)  # workers that share one fan-out
BROADCAST_CHUNK = whole(env, "BROADCAST_CHUNK", default=25_000, least=1, most=1_000_000)  # chats per transaction
# A scheduled broadcast that is later than this is not sent without a user's decision.
BROADCAST_GRACE_MINUTES = whole(env, "BROADCAST_GRACE_MINUTES", default=60, least=1, most=525_600)

# --- live ---------------------------------------------------------------------------------------
# A client that reconnects after a longer time has to reload. No CHANNEL_LAYERS: live/hub.py replaces them.
LIVE_RETENTION_HOURS = whole(env, "LIVE_RETENTION_HOURS", default=24, least=1, most=8_760)
LIVE_SOCKETS_PER_USER = whole(env, "LIVE_SOCKETS_PER_USER", default=20, least=1, most=10_000)  # per web process

# --- projects -----------------------------------------------------------------------------------
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")  # base of links in e-mails
EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL or not LOCAL:
    vars().update(env.email_url_config(EMAIL_URL or "consolemail://"))
else:  # one file per e-mail, in a folder that the admin shows
    EMAIL_BACKEND, EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", str(HOME / "mail")
EMAIL_TIMEOUT = 10  # seconds for each response of the mail server
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Opsroom <opsroom@localhost>")
REMINDER_FALLBACK_EMAIL = env.str("REMINDER_FALLBACK_EMAIL", default="planning@localhost" if LOCAL else "")
REPORT_EMAILS = env.list("REPORT_EMAILS", default=["planning@localhost"] if LOCAL else [])
REPORT_HOUR = whole(env, "REPORT_HOUR", default=6, least=0, most=23)  # in TIME_ZONE

# --- events -------------------------------------------------------------------------------------
# Seconds that a sender's clock may be ahead.
EVENT_CLOCK_SKEW = whole(env, "EVENT_CLOCK_SKEW", default=300, least=0, most=86_400)
EVENT_RETENTION_DAYS = whole(env, "EVENT_RETENTION_DAYS", default=3650, least=0, most=36_500)  # 0 = unlimited
# 0 = as long as events.
EVENT_REJECTED_RETENTION_DAYS = whole(env, "EVENT_REJECTED_RETENTION_DAYS", default=90, least=0, most=36_500)
# Per application; 0 = unlimited.
EVENT_REJECTED_MB_PER_DAY = whole(env, "EVENT_REJECTED_MB_PER_DAY", default=64, least=0, most=1_000_000)

# --- testrunner ---------------------------------------------------------------------------------
TEST_UPLOADS_DIR = env.str("TEST_UPLOADS_DIR", default=str(HOME / "uploads"))  # the folder of uploaded test files
TESTRUN_MAX_SECONDS = whole(env, "TESTRUN_MAX_SECONDS", default=3_600, least=1, most=604_800)
# The time limit of a run that sets none.
TESTRUN_DEFAULT_SECONDS = whole(
    env, "TESTRUN_DEFAULT_SECONDS", default=min(300, TESTRUN_MAX_SECONDS), least=1, most=TESTRUN_MAX_SECONDS
)
# Queued runs per environment; of these, per user; MiB of files of all queued runs of one user.
TESTRUN_MAX_QUEUED = whole(env, "TESTRUN_MAX_QUEUED", default=500, least=1, most=100_000)
TESTRUN_MAX_QUEUED_PER_USER = whole(
    env, "TESTRUN_MAX_QUEUED_PER_USER", default=min(100, TESTRUN_MAX_QUEUED), least=1, most=TESTRUN_MAX_QUEUED
)
TESTRUN_MAX_QUEUED_MB = whole(env, "TESTRUN_MAX_QUEUED_MB", default=200, least=20, most=1_000_000)
TESTRUN_DIR = env.str("TESTRUN_DIR", default=str(HOME / "testruns"))  # each run uses a temporary folder in it
# Time that the runs of a worker may still take after a stop of the worker was requested.
TESTRUN_STOP_SECONDS = whole(env, "TESTRUN_STOP_SECONDS", default=2, least=0, most=3_600)
TESTRUN_MIN_ISOLATION = env.str("TESTRUN_MIN_ISOLATION", default="plain")  # see testrunner/sandbox/isolation.py
if TESTRUN_MIN_ISOLATION not in ("namespaces", "user-namespace", "user", "plain"):
    raise ImproperlyConfigured("TESTRUN_MIN_ISOLATION must be namespaces, user-namespace, user or plain.")
TESTRUN_LOG_DAYS = whole(env, "TESTRUN_LOG_DAYS", default=90, least=1, most=36_500)

# --- Retention: see core/data/retention.py ----------------------------------------------------------
LOGIN_LOG_DAYS = days(env, "LOGIN_LOG_DAYS", default=90)
ADMIN_LOG_DAYS = days(env, "ADMIN_LOG_DAYS", default=730)
HISTORY_DAYS = days(env, "HISTORY_DAYS", default=730)
MESSAGE_DAYS = days(env, "MESSAGE_DAYS", default=0)
NOTIFICATION_DAYS = days(env, "NOTIFICATION_DAYS", default=365)
REMINDER_DAYS = days(env, "REMINDER_DAYS", default=365)
TESTRUN_DAYS = days(env, "TESTRUN_DAYS", default=730)

# --- Celery: see config/celery.py ----------------------------------------------------------------
CELERY_BEAT_SCHEDULER = "config.processes.scheduler:SteadyScheduler"
DJANGO_CELERY_BEAT_TZ_AWARE = True
