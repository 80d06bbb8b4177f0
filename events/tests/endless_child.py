"""A child process that never answers, within the limits of the real one."""

from events.schema_child import limit

limit()
while True:
    pass
