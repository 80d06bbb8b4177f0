"""Django's WSGI application, which config/asgi.py runs in its thread pool; any WSGI server could run it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
