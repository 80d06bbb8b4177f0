from projects.admin import (  # noqa: F401
    projects,
    reports,
    tasks,
)
