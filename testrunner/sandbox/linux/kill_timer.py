"""Kernel timer that kills the process that set it, even one that is stopped (SIGSTOP). Forks do not inherit it."""

from __future__ import annotations

import ctypes
import signal
import struct
import time

from testrunner.sandbox.linux.system_calls import LINUX, call, libc

SIGEV_SIGNAL = 0


class KillTimer:
    """Timer of this process. Without one (other systems, a C library without timers), setting it has no effect."""

    def __init__(self) -> None:
        self._timer: ctypes.c_void_p | None = None
        if LINUX and hasattr(libc, "timer_create"):
            self._timer = ctypes.c_void_p()
            event = ctypes.create_string_buffer(struct.pack("@Pii", 0, signal.SIGKILL, SIGEV_SIGNAL), 64)
            call(libc.timer_create(time.CLOCK_BOOTTIME, event, ctypes.byref(self._timer)), "timer_create")

    def set(self, seconds: float) -> None:
        """Kill this process after these seconds, unless the timer is set again before. Zero: never."""
        if self._timer is not None:
            when = struct.pack("@llll", 0, 0, int(seconds), int(seconds % 1 * 1e9))
            call(libc.timer_settime(self._timer, 0, when, None), "timer_settime")
