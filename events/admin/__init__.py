from events.admin import (
    applications,
    event_types,
    explorer,
    notifications,
    rejected,
    sessions,
)
