"""What every REST view has unless it says otherwise: closed by default, newest first, cursor pages."""

from typing import Any

from rest_framework.permissions import DjangoModelPermissions

from core.rest.pagination import KeysetPagination


class ModelPermissions(DjangoModelPermissions):
    """A signed-in user with the model's own permission for the method; to read takes `view` as well."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class DefaultPagination(KeysetPagination):
    """Along the primary key."""

    ordering = ("-id",)


def document_ids(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Schema hook: an id in a path is never negative. Such an address is none, whoever asks."""
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["schema"].get("type") == "integer":
                    parameter["schema"].setdefault("minimum", 0)
    return result
