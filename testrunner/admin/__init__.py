from testrunner.admin import (  # noqa: F401
    environments,
    files,
    runs,
)
