from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from projects.demo.fake import create_fake_projects


class Command(BaseCommand):
    help = "Create fake projects with tasks: a hundred thousand take seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--total", type=int, required=True, help="how many projects")
        parser.add_argument("--tasks", type=int, default=10, help="how many tasks each")

    def handle(self, *args: Any, total: int, tasks: int, **options: Any) -> None:
        if total < 1 or tasks < 0:
            raise CommandError("--total must be at least 1, and --tasks may not be negative.")
        create_fake_projects(total, tasks)
        self.stdout.write(self.style.SUCCESS(f"Created {total:,} projects with {total * tasks:,} tasks."))
