"""Shared fixtures of the chats tests."""

from chats.tests.banner_list import banner_list
from core.tests.evil_server import evil_server

__all__ = ["banner_list", "evil_server"]
