"""Errs: the set-up of the test breaks, so nobody can say whether it would pass."""

import pytest


@pytest.fixture
def account():
    raise ConnectionError("The account service does not answer.")


def test_an_account_has_an_owner(account):
    assert account.owner
