from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from projects.reports import generate_report, mail_reports


class Command(BaseCommand):
    help = "Make today's report, and mail it; does nothing where it was made and mailed already."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=date.fromisoformat, help="another day; it counts tasks as they are now")
        parser.add_argument("--no-mail", action="store_true", help="only store it")

    def handle(self, *args: Any, **options: Any) -> None:
        report, made = generate_report(day=options["date"])
        sent = 0 if options["no_mail"] else mail_reports()
        self.stdout.write(f"{report}: {'made' if made else 'was there'}, {'mailed' if sent else 'no mail sent'}.")
