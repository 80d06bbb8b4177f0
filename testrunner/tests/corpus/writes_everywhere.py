"""Writes a file to every possible directory."""

import os

NAME = "opsroom-left-behind"


def test_it():
    written = []
    for top in (
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        "/run",
        "/run/lock",
        "/var/lock",
        "/dev/mqueue",
        "/",
        os.environ["HOME"],
    ):
        try:
            with open(f"{top}/{NAME}", "w") as file:
                file.write("x")
            written.append(top)
        except OSError:
            continue
    for library in (os.__file__, __import__("pytest").__file__):
        try:
            open(library, "a").close()
            written.append(library)
        except OSError:
            continue
    print("written:", written)
