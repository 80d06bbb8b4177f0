from projects.admin import (  # noqa: F401
    projects,
    reminders,
    reports,
    tasks,
)
