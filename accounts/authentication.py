"""`Authorization: Token <key>` for REST framework."""

from typing import Any

from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed

from accounts.models import AccessToken
from accounts.tokens import token_of


class TokenAuthentication(authentication.TokenAuthentication):
    """REST framework's class for tokens that are stored as hashes, expire, and end with the user's password."""

    def authenticate_credentials(self, key: str) -> tuple[Any, AccessToken]:
        token = token_of(key)
        if token is None:
            raise AuthenticationFailed("This token is unknown, has expired, or was ended.")
        return token.user, token
