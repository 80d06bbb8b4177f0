"""Starts threads until it may not."""

import threading
import time


def test_it():
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
