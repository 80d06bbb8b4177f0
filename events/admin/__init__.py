from events.admin import (  # noqa: F401
    notifications,
)
