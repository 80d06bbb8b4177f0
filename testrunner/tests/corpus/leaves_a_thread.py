"""Leaves a process alive in a thread; its first thread has ended, so that /proc shows a zombie."""

import ctypes
import os
import socket
import threading
import time
from pathlib import Path

EXIT = {"x86_64": 60, "aarch64": 93, "riscv64": 93}  # number of the system call that ends only the calling thread


def test_it():
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        threading.Thread(target=time.sleep, args=(1_000,)).start()
        ctypes.CDLL(None).syscall(EXIT[os.uname().machine], 0)
    while Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    print(f"port {listener.getsockname()[1]}")
