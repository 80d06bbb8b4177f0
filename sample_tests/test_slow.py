"""Takes about ten seconds and says how far it is: something to watch live, to cancel, and to wait behind."""

import time


def test_ten_steps():
    for step in range(1, 11):
        print(f"step {step} of 10", flush=True)
        time.sleep(1)
