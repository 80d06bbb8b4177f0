"""Defaults of REST views: permissions required, newest first, cursor pagination."""

from typing import Any

from rest_framework.permissions import DjangoModelPermissions

from core.rest.pagination import KeysetPagination


class ModelPermissions(DjangoModelPermissions):
    """Requires the model's permission for the method; reading requires the `view` permission."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class DefaultPagination(KeysetPagination):
    """Ordered by the primary key, newest first."""

    ordering = ("-id",)


def document_ids(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Schema hook: set the minimum of an integer id in a path to 0. A negative id never matches a URL."""
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["schema"].get("type") == "integer":
                    parameter["schema"].setdefault("minimum", 0)
    return result
