"""Fails: one assertion does not hold, the other test passes."""


def test_the_answer_is_known():
    answer = 6 * 9
    assert answer == 42


def test_the_question_is_known():
    assert 6 * 7 == 42
