"""Reading the log by range returns every byte once, regardless of the chunks that contain it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrunner.factories import RunFactory
from testrunner.models import LogChunk
from testrunner.records import log_store


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", range(0, 10)),
        ("bytes=3-5", range(3, 6)),
        ("bytes=3-99", range(3, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-99", range(0, 10)),
        (" bytes = 9 - 9 ", range(9, 10)),
        ("", None),
        ("lines=1-2", None),
        ("bytes=5-3", None),
        ("bytes=1-2,4-5", None),
        ("bytes=-", None),
        ("bytes=x-y", None),
        ("bytes=٣-٥", None),
        ("bytes=" + "9" * 5_000 + "-", None),
    ],
)
def test_a_range_is_understood_or_ignored(header: str, span: range | None):
    assert log_store.parse_range(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_where_nothing_is_yet_is_refused(header: str):
    with pytest.raises(log_store.Unsatisfiable):
        log_store.parse_range(header, 10)


@given(header=st.text(max_size=40), size=st.integers(0, 1_000))
def test_whatever_is_asked_for_lies_within_the_log(header: str, size: int):
    try:
        span = log_store.parse_range(header, size)
    except log_store.Unsatisfiable:
        return

    assert span is None or 0 <= span.start < span.stop <= size


@pytest.mark.django_db
def test_every_range_is_made_of_the_pieces_it_touches(monkeypatch):
    monkeypatch.setattr(log_store, "CHUNKS_PER_QUERY", 2)
    run, whole = RunFactory(success=True), b"0123456789abcdefghij"
    for start, stop in [(0, 4), (4, 5), (5, 11), (11, 20)]:
        LogChunk.objects.create(run=run, offset=start, data=whole[start:stop])

    for start in range(20):
        for stop in range(start + 1, 21):
            assert b"".join(log_store.read(run.pk, range(start, stop))) == whole[start:stop]


@pytest.mark.django_db
def test_a_log_that_was_cleaned_away_is_empty():
    assert list(log_store.read(RunFactory(success=True).pk, range(0, 100))) == []
