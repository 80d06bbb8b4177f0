"""Sends memory files through a socket and closes them, so that no process has them open."""

import os
import socket
import time


def test_it():
    ours, theirs = socket.socketpair()
    for number in range(6):
        descriptor = os.memfd_create(f"held-{number}")
        for _ in range(128):
            os.write(descriptor, bytes(2**20))
        socket.send_fds(ours, [b"x"], [descriptor])
        os.close(descriptor)
    print("held", flush=True)
    time.sleep(60)
    theirs.close()
