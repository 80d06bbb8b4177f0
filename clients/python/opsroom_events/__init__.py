"""Send product events to Opsroom: `Client(url, write_key=…).track(session_id, category, name, data)`."""

from .client import Client, Stats

__all__ = ["Client", "Stats"]
