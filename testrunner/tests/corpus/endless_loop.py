"""Never ends."""


def test_it():
    while True:
        pass
