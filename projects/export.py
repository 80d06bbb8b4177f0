"""CSV export of tasks, read row by row from a server-side cursor, so memory use does not depend on their number."""

import codecs
import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from projects.models import Task

COLUMNS = ["id", *Task.EDITABLE, "created_at", "updated_at", "completed_at"]
_AT_ONCE = 2_000  # rows per fetch
# A spreadsheet evaluates cells that begin like this: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class _Echo:
    """A file object whose write() returns the text."""

    def write(self, line: str) -> str:
        return line


def as_csv(tasks: QuerySet[Task]) -> StreamingHttpResponse:
    """Return a streamed CSV download of these tasks.

    Timestamps are ISO 8601 in UTC; a quote before a formula disables it.

    The file begins with a byte order mark. Without it, Excel reads UTF-8 in the local legacy encoding.

    The first row is read before the response starts. A database that is down therefore gives a 503, not a truncated
    200.
    """
    rows = tasks.select_related("project", "assignee").iterator(chunk_size=_AT_ONCE)
    first = list(islice(rows, 1))
    return StreamingHttpResponse(
        _lines(chain(first, rows)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="tasks.csv"'},
    )


def _lines(tasks: Iterable[Task]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield codecs.BOM_UTF8.decode() + writer.writerow(COLUMNS)  # the return value of the file's write()
    for task in tasks:
        yield writer.writerow([_cell(getattr(task, name)) for name in COLUMNS])


def _cell(value: Any) -> Any:
    """Return a number as it is, a timestamp in ISO 8601, anything else as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else disarmed("" if value is None else str(value))


def disarmed(text: str) -> str:
    """Return the text with a leading quote if a spreadsheet would evaluate it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
