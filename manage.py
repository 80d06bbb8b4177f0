#!/usr/bin/env python
"""Django's command line, on the embedded services unless the environment names others."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed for this Python: run `make setup`, then ./.venv/bin/python manage.py …")
    from config.local import embedded

    try:
        embedded.use()
    except embedded.EmbeddedError as error:
        sys.exit(str(error))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
