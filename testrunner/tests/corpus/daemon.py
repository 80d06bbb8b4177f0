"""Leaves a process behind that nobody is the parent of, with everything open."""

import os
import time


def test_it():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
