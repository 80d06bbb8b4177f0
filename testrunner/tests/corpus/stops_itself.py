"""Freezes itself, so that only SIGKILL and SIGCONT have an effect."""

import os
import signal


def test_it():
    os.kill(os.getpid(), signal.SIGSTOP)
