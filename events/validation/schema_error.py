"""The error for a schema that may not be published."""

from __future__ import annotations


class SchemaError(ValueError):
    """Why this is not a valid schema: `message` in words, `pointer` to the place in the schema, as in RFC 6901."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(f"{message} (at {pointer})" if pointer else message)
        self.message = message
        self.pointer = pointer
