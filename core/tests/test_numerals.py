"""Numbers in forms and URLs: no text causes a server error."""

import pytest

from core.numerals import number


@pytest.mark.parametrize(("given", "read"), [("17", 17), ("0", 0), ("9" * 18, 10**18 - 1)])
def test_an_id_is_read(given, read):
    assert number(given) == read


@pytest.mark.parametrize("given", ["", "-1", "+1", "1.0", "x", "²", "\u0661", "9" * 19, "1" * 5_000])
def test_what_no_row_can_have_is_zero(given):
    assert number(given) == 0


@pytest.mark.django_db
def test_a_number_of_thousands_of_digits_is_no_error(as_superuser):
    digits = "1" * 5_000

    assert as_superuser.get("/admin/chats/chat/send-banner/", {"selected": digits}).status_code == 200
    assert as_superuser.post("/admin/my-access/end/", {"what": "token", "which": digits}).status_code == 302
