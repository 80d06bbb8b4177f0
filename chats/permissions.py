from django.db.models import Model
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.views import APIView


class MaySend(BasePermission):
    """Sending has its own permission, because one request reaches all users."""

    message = "You may not send broadcasts."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("chats.send_broadcast")


class OfMessages(DjangoModelPermissions):
    """Permissions for the messages in a chat. Every POST needs the permission to add messages, also to mark as read."""

    perms_map = {
        "GET": ["chats.view_message"],
        "HEAD": ["chats.view_message"],
        "POST": ["chats.add_message"],
    }

    def get_required_permissions(self, method: str, model_cls: type[Model]) -> list[str]:
        return self.perms_map.get(method, ["chats.change_message"])
