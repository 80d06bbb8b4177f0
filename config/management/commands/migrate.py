from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from config.database import migrating, runner_role
from core.database import direct_connections


class Command(migrate.Command):
    help = f"{migrate.Command.help} One process at a time, within limits of its own: see config/database/migrating.py."

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        if direct_connections.is_pooled():
            connections[alias].close()
            direct_connections.go_direct(connections[alias])

        def work() -> None:
            with migrating.own_limits(connections[alias]):
                super(Command, self).handle(*args, **options)

        with migrating.one_at_a_time(alias, self.stderr.write):
            migrating.with_patience(work, self.stderr.write, alias)
            runner_role.grant(connections[alias])
            if direct_connections.is_pooled():
                migrating.give_limits_to_the_role(connections[alias])
