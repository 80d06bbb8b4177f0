import os
import warnings
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Check that no migration is missing, the settings for production, and the API description."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        # `make lint` names a database that does not exist: the files alone show whether a migration is missing.
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history", RuntimeWarning)
        call_command("makemigrations", check_changes=True, dry_run=True)
        call_command("check", deploy=True, fail_level="WARNING")
        call_command("spectacular", validate=True, fail_on_warn=True, file=os.devnull)
