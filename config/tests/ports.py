"""Ports for servers that tests and benchmarks start."""

import random
import socket

# Below the range from which the kernel takes ports for outgoing connections, by default: one of those may be taken by
# any program at any moment between our asking and the server's binding.
FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    """A port that nobody listens at, and that no connection is going to be given."""
    while True:
        port = random.randrange(FIRST, LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
