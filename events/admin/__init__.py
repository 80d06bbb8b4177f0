from events.admin import (  # noqa: F401
    applications,
    event_types,
    explorer,
    notifications,
    rejected,
    sessions,
)
