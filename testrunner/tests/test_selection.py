from testrunner.tests.running import run

TESTS = "def test_one():\n    pass\n\ndef test_two():\n    assert False\n"


def test_only_the_chosen_tests_are_run(tmp_path):
    ran = run(
        tmp_path, ("samples/test_a.py", TESTS), ("samples/test_b.py", TESTS), selection=["samples/test_b.py::test_two"]
    )

    assert [(result.nodeid, result.outcome) for result in ran.told] == [("samples/test_b.py::test_two", "failed")]
    assert ran.finished.outcome == "failed"


def test_a_test_is_chosen_with_all_of_its_parameters(tmp_path):
    text = "import pytest\n@pytest.mark.parametrize('word', ['a' * 600, 'b'])\ndef test_it(word):\n    pass\n"

    ran = run(tmp_path, ("samples/test_a.py", text + TESTS), selection=["samples/test_a.py::test_it"])

    assert len(ran.told) == 2
    assert ran.finished.outcome == "success"
