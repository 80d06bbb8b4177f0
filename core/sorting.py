"""Sort order of names for people: Äpfel and apple before Banana, whatever collation the database has.

Postgres' collations differ between installations, and the embedded one sorts by code points. So names are compared
without accents and in lower case. A caller adds the field itself to order names that are equal then.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Func
from django.db.models.functions import Lower

ACCENTS = "[\u0300-\u036f]"  # combining marks, which NFKD separates from their letters


class _WithoutAccents(Func):
    template = "regexp_replace(normalize(%(expressions)s, NFKD), '" + ACCENTS + "', '', 'g')"
    output_field = CharField()


def by_name(field: str) -> Any:
    """Return the expression to order by the names in `field`."""
    return Lower(_WithoutAccents(F(field)))
