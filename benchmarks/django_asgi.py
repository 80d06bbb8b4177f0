"""Django under its own ASGI handler: the peer that benchmarks/serving.py measures config/asgi.py against."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_asgi_application()
