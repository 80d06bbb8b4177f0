from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat

from events.storage import retention
from events.storage.retention import ExpiredRows


class Command(BaseCommand):
    help = "Delete events, sessions, counts and rejected events that are older than they are kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only show what would go")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        verb = "would go" if dry_run else "is deleted"
        for rows, before in (("Events", retention.horizon()), ("Rejected events", retention.rejected_horizon())):
            if before is None:
                self.stdout.write(f"{rows} are all kept.")
            else:
                self.stdout.write(f"{rows} from before {before:%Y-%m-%d}: this {verb}.")
        expired = (
            [table for table in retention.expired_rows() if table.rows or table.size] if dry_run else self._retain()
        )
        for table in expired:
            self.stdout.write(f"  {_described(table)}")
        if not expired:
            self.stdout.write("  Nothing.")

    def _retain(self) -> list[ExpiredRows]:
        expired: list[ExpiredRows] = []
        while some := retention.retain():  # until a pass finds nothing more
            expired += some
        return expired


def _described(old: ExpiredRows) -> str:
    if old.size is None:
        return f"{old.table}: {old.rows:,} rows"
    return f"{old.table}: a partition of about {old.rows:,} rows, {filesizeformat(old.size)}"
