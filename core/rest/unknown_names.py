"""Errors for unknown names in a request, which suggest the nearest known name. Unknown names are never ignored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from rest_framework.exceptions import ErrorDetail, ValidationError

MAX_NAMED = 10  # unknown names in one error: each is compared with all known ones
MAX_LISTED = 20  # known names in one message
MAX_SHOWN = 100  # characters of a name that the client sent
CODE = "unknown"  # config/rest/error_handlers.py does not repeat the name before such a sentence


def unknown_names(kind: str, names: Sequence[str], known: Collection[str]) -> ValidationError:
    """Return the validation error for these names. `kind` is what they are, such as "parameter"."""
    first, more = names[:MAX_NAMED], len(names) - MAX_NAMED
    problems = {name[:MAX_SHOWN]: [_sentence(kind, name, known)] for name in first}
    if more > 0:
        problems[first[0][:MAX_SHOWN]].append(ErrorDetail(f"{more:,} more {kind}s are unknown.", CODE))
    return ValidationError(problems)


def given_twice(kind: str, name: str) -> ValidationError:
    """Return the validation error for a name that has more than one value but takes one."""
    return ValidationError({name: [ErrorDetail(f"{kind.capitalize()} {name} is given more than once.", CODE)]})


def _sentence(kind: str, name: str, known: Collection[str]) -> ErrorDetail:
    words = f"Unknown {kind} {name[:MAX_SHOWN]}."
    if nearest := _nearest(name, known):
        words += f" Did you mean {nearest}?"
    elif known:
        more = ", …" if len(known) > MAX_LISTED else ""
        words += f" Known here: {', '.join(sorted(known)[:MAX_LISTED])}{more}."
    else:
        words += f" There are no {kind}s here."
    return ErrorDetail(words, CODE)


def _nearest(name: str, known: Collection[str]) -> str | None:
    """Return the most similar known name, or one that contains or is contained in this one."""
    given = name[:MAX_SHOWN].lower()
    if found := get_close_matches(given, known, n=1, cutoff=0.65):
        return found[0]
    parts = [other for other in known if len(given) > 2 and (other in given or given in other)]
    return min(parts, key=lambda other: (-len(other), other), default=None)
