from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from config import migrating


class Command(migrate.Command):
    help = f"{migrate.Command.help} One process at a time, within limits of its own: see config/migrating.py."

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]

        def work() -> None:
            with migrating.own_limits(connections[alias]):
                super(Command, self).handle(*args, **options)

        with migrating.one_at_a_time(alias, self.stderr.write):
            migrating.with_patience(work, self.stderr.write, alias)
