"""The error for a schema that may not be published."""

from __future__ import annotations


class SchemaError(ValueError):
    """A schema is invalid. `message` says why; `pointer` is the JSON pointer (RFC 6901) to the place in the schema."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(f"{message} (at {pointer})" if pointer else message)
        self.message = message
        self.pointer = pointer
