"""The log is valid text, its middle is cut at the limit, and its head and tail are kept."""

import random

import pytest

from testrunner.sandbox.log_capture import MAX_LINE, LogCapture, LogCleaner
from testrunner.sandbox.redaction import Redactor


def logged(
    *pieces: bytes, head: int = 1000, tail: int = 3000, redactor: Redactor | None = None
) -> tuple[bytes, LogCapture]:
    chunks: list[bytes] = []
    log = LogCapture(chunks.append, head=head, tail=tail, redactor=redactor or Redactor())
    for piece in pieces:
        log.write(piece)
    log.close()
    return b"".join(chunks), log


def test_what_fits_is_passed_on_whole():
    text, log = logged(b"one\n", b"two\n" * 900)

    assert text == b"one\n" + b"two\n" * 900
    assert (log.bytes, log.dropped) == (3604, 0)


def test_the_middle_is_left_out_and_counted():
    lines = b"".join(b"line %06d\n" % number for number in range(10_000))

    text, log = logged(*(lines[start : start + 777] for start in range(0, len(lines), 777)))

    head, notice, tail = text.partition(f"\n… {log.dropped:,} bytes left out …\n".encode())
    assert notice
    assert lines.startswith(head)
    assert lines.endswith(tail)
    assert tail.startswith(b"line ")
    assert len(head) + log.dropped + len(tail) == log.bytes == len(lines)
    assert len(head) == 1000
    assert 2900 < len(tail) <= 3000


@pytest.mark.parametrize("seed", range(20))
def test_pieces_make_no_difference(seed):
    chance = random.Random(seed)
    raw = "aé☃😀\0\n".encode() * 50 + b"\xff\xc3\xed\xa0\x80" + b"z" * (MAX_LINE + 5) + "😀\nend".encode()
    raw = b"99 %\r100 %\r" + raw[:-3] + b"q" * (MAX_LINE + 5) + b"\r" + b"r" * (MAX_LINE - 5) + b"\rend"
    cuts = sorted(chance.choices(range(len(raw)), k=40))
    cleaner = LogCleaner()

    pieces = [cleaner.clean(raw[start:end]) for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    text = b"".join(pieces) + cleaner.clean(b"", final=True)

    assert text == LogCleaner().clean(raw, final=True)
    assert b"\0" not in text
    assert text.decode().endswith("r" * (MAX_LINE - 5) + "\rend")
    assert text.count(b" bytes cut]") == 2


def test_a_line_that_is_cut_says_how_much_is_missing():
    text, _ = logged(
        b"a" * MAX_LINE, b"b" * 1_000, b"c" * 234 + b"\nshort\n", b"d" * (MAX_LINE + 7), head=2**20, tail=100
    )

    assert text == b"a" * MAX_LINE + b" [1,234 bytes cut]\nshort\n" + b"d" * MAX_LINE + b" [7 bytes cut]"


def test_a_progress_bar_is_never_cut_however_often_it_is_written_over():
    bar = b"".join(b"\r%3d %% %s" % (number % 101, b"#" * 60) for number in range(5_000))

    text, _ = logged(*(bar[start : start + 777] for start in range(0, len(bar), 777)), head=2**20, tail=100)

    assert text == bar


def test_a_character_across_the_cap_stays_whole():
    for head in range(1, 12):
        text, _ = logged("☃☃".encode(), "☃☃😀".encode(), head=head, tail=100)

        assert text.decode() == "☃☃☃☃😀"


@pytest.mark.parametrize("before", range(980, 1_001))
@pytest.mark.parametrize("line", [b"", b"\n"])
def test_no_cut_leaves_a_piece_of_a_secret(before, line):
    secret = b"abcdefghijklmnopqrstuvw"
    raw = (
        b"-" * before
        + line
        + (secret + line) * 2_000
        + b"." * (3_000 - before)
        + b"\n"
        + b"-" * (MAX_LINE - 10)
        + secret
    )

    text, log = logged(
        *(raw[start : start + 777] for start in range(0, len(raw), 777)), redactor=Redactor([secret.decode()])
    )

    assert log.dropped
    assert not set("abcdefghijklmnopqrstuvw") & set(
        text.decode().replace("bytes left out", "").replace("bytes cut", "")
    )


def test_every_chunk_is_text_by_itself():
    chunks: list[bytes] = []
    log = LogCapture(chunks.append, head=2**20, tail=2**20)

    for byte in "☃😀\n".encode() * 30_000:
        log.write(bytes([byte]))
    log.close()

    assert "".join(chunk.decode() for chunk in chunks) == "☃😀\n" * 30_000
