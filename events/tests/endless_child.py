"""A child process that never answers, within the limits of the real one."""

from events.validation.schema_child import limit

limit()
while True:
    pass
