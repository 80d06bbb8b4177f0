"""Shared fixtures of the tests of core."""

from core.tests.evil_server import evil_server

__all__ = ["evil_server"]
