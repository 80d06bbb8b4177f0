"""Leaves an orphaned process behind, with all descriptors open."""

import os
import time


def test_it():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
