"""Starts threads until the limit is reached."""

import threading
import time


def test_it():
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
