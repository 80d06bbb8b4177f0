"""Takes about ten seconds and says how far it is: something to watch live, to cancel, and to wait behind.

A variable STEPS of the environment makes it shorter or longer.
"""

import os
import time

STEPS = int(os.environ.get("STEPS", "10"))


def test_step_by_step():
    for step in range(1, STEPS + 1):
        print(f"step {step} of {STEPS}", flush=True)
        time.sleep(1)
