"""`POST /auth/token/`: a token for a username and a password."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from live.parsers import StrictJSONParser


@extend_schema(auth=[], tags=["auth"])
class ObtainToken(ObtainAuthToken):
    """The caller's one token, made on first asking. Wrong passwords count towards the login lock-out."""

    permission_classes = (AllowAny,)
    parser_classes = (StrictJSONParser, FormParser, MultiPartParser)
    serializer_class = AuthTokenSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        # Django's own request: the lock-out is noted on it, and its middleware answers 429 (config/lockout.py).
        return {**super().get_serializer_context(), "request": self.request._request}

    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().post(request, *args, **kwargs)
