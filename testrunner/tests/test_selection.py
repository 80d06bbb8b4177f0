from testrunner.tests.running import run

TESTS = "def test_one():\n    pass\n\ndef test_two():\n    assert False\n"


def test_only_the_chosen_tests_are_run(tmp_path):
    ran = run(
        tmp_path, ("samples/test_a.py", TESTS), ("samples/test_b.py", TESTS), selection=["samples/test_b.py::test_two"]
    )

    assert [(result.nodeid, result.outcome) for result in ran.told] == [("samples/test_b.py::test_two", "failed")]
    assert ran.finished.outcome == "failed"
