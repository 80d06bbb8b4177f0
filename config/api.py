"""What every REST view has unless it says otherwise: closed by default, newest first, cursor pages."""

from rest_framework.pagination import CursorPagination
from rest_framework.permissions import DjangoModelPermissions


class ModelPermissions(DjangoModelPermissions):
    """A signed-in user with the model's own permission for the method; to read takes `view` as well."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class NewestFirst(CursorPagination):
    """Pages by a cursor over the primary key: equally quick at the first and the millionth row."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 500
