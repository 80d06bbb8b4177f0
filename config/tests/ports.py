"""Ports for servers that tests and benchmarks start."""

import random
import socket

# Below the default range of ports for outgoing connections, because any program may take one of those at any moment
# between the check and the server's bind.
FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    """Return a port that is free and that the kernel does not assign to outgoing connections."""
    while True:
        port = random.randrange(FIRST, LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like servers
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
