"""The order in which people expect names: Äpfel and apple before Banana, whatever collation the database has.

Postgres' collations differ from one installation to the next, and the embedded one sorts by code points. So names are
compared without accents and in small letters; names that are equal then are compared as they are.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Func
from django.db.models.functions import Lower

ACCENTS = "[\u0300-\u036f]"  # combining marks, into which letters with an accent are divided


class _WithoutAccents(Func):
    template = "regexp_replace(normalize(%(expressions)s, NFKD), '" + ACCENTS + "', '', 'g')"
    output_field = CharField()


def by_name(field: str) -> Any:
    """Return the expression by which the names in `field` are ordered."""
    return Lower(_WithoutAccents(F(field)))
