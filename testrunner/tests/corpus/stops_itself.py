"""Freezes: no signal but two reaches it now."""

import os
import signal


def test_it():
    os.kill(os.getpid(), signal.SIGSTOP)
