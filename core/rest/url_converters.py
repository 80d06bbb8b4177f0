"""Path converters of the REST API, registered when a urls module imports this one."""

from uuid import UUID

from django.urls import register_converter


class AnyUUIDConverter:
    """A UUID in any usual spelling: upper or lower case, with or without dashes."""

    regex = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> UUID:
        return UUID(value)

    def to_url(self, value: UUID | str) -> str:
        return str(value)


register_converter(AnyUUIDConverter, "any_uuid")
