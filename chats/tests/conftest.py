"""Fixtures that the tests of chats share."""

from chats.tests.evil_server import evil_server

__all__ = ["evil_server"]
