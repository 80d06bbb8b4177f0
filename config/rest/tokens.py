"""`/auth/token/`: create a token with username and password, and delete the token of the request."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AccessToken
from accounts.tokens import issue_token
from core.rest.base import RestView
from core.rest.idempotency import nothing, once
from core.rest.strict_bodies import StrictMembers


class IssuedTokenSerializer(serializers.Serializer[dict[str, Any]]):
    token = serializers.CharField(help_text="Shown once: only its hash is stored.")
    expires_at = serializers.DateTimeField()


class LoginSerializer(StrictMembers, AuthTokenSerializer):
    """A username and its password."""


class TokensView(RestView):
    """Tokens of programs. Wrong passwords count towards the login lock-out."""

    own_transactions: ClassVar[frozenset[str]] = frozenset({"post"})

    def get_permissions(self) -> list[BasePermission]:
        return [AllowAny() if self.request.method == "POST" else IsAuthenticated()]

    @extend_schema(
        auth=[],
        tags=["auth"],
        request=LoginSerializer,
        responses=IssuedTokenSerializer,
        operation_id="create_token",
    )
    def post(self, request: Request) -> Response:
        """Create a token. It expires, and ends when the password changes; a user keeps the 20 most recently used."""
        # Django's own request: axes records the lock-out on it, and its middleware answers 429 (config/lockout.py).
        serializer = LoginSerializer(data=request.data, context={"request": request._request})
        serializer.is_valid(raise_exception=True)
        user = serializer.validated_data["user"]

        def answer(_: None) -> Response:
            token, key = issue_token(user=user)
            return Response(IssuedTokenSerializer({"token": key, "expires_at": token.expires_at}).data)

        # The password is checked outside a transaction, because the count of failures must be committed. The body
        # contains the password, so it is not part of the fingerprint.
        return once(request, user.pk, nothing, answer, body="")

    @extend_schema(tags=["auth"], request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Delete the token that this request is sent with."""
        if not isinstance(request.auth, AccessToken):
            raise ValidationError("Send the token that is to end: Authorization: Token <key>.")
        request.auth.delete()
        return Response(status=204)
