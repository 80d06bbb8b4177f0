"""Damaged pictures: intact files of each format, and the damage that programs, disks and networks cause."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from typing import Any, NamedTuple

from PIL import Image


class Broken(NamedTuple):
    """A damaged file. `is_cut` means that its bytes are correct, but some are missing at the end."""

    how: str
    body: bytes
    is_cut: bool = False


def scene(mode: str = "RGB", turned: int = 0) -> Image.Image:
    small = Image.frombytes("RGB", (12, 8), random.Random(1).randbytes(288))
    return small.resize((48, 32), Image.Resampling.BICUBIC).rotate(turned).convert(mode)


def encoded(kind: str, mode: str = "RGB", *, frames: int = 1, **options: Any) -> bytes:
    output = BytesIO()
    more = [scene(mode, 90 * number) for number in range(1, frames)]
    moving = {"save_all": True, "append_images": more, "duration": 80} if more else {}
    scene(mode).save(output, kind, **moving, **options)
    return output.getvalue()


def interlaced_png() -> bytes:
    """Return a PNG with Adam7 interlacing, which Pillow reads but does not write."""
    width, height, rows = 16, 16, b""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for x0, y0, dx, dy in passes:
        for y in range(y0, height, dy):
            rows += b"\0" + bytes(value for x in range(x0, width, dx) for value in (x * 16, y * 16, 128))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


SOUND: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded("PNG"),
    "PNG with a palette": lambda: encoded("PNG", "P", transparency=3),
    "PNG in grey": lambda: encoded("PNG", "LA"),
    "PNG, interlaced": interlaced_png,
    "PNG, animated": lambda: encoded("PNG", frames=3),
    "JPEG": lambda: encoded("JPEG", quality=90),
    "JPEG, progressive": lambda: encoded("JPEG", quality=90, progressive=True),
    "JPEG in four colours": lambda: encoded("JPEG", "CMYK", quality=90),
    "GIF": lambda: encoded("GIF", "P", interlace=False),
    "GIF, interlaced": lambda: encoded("GIF", "P", interlace=True),
    "GIF, animated": lambda: encoded("GIF", frames=4, loop=0),
    "WebP": lambda: encoded("WEBP", quality=90),
    "WebP without loss": lambda: encoded("WEBP", "RGBA", lossless=True),
    "WebP, animated": lambda: encoded("WEBP", frames=3),
    "AVIF": lambda: encoded("AVIF", quality=90),
    "AVIF, animated": lambda: encoded("AVIF", frames=2),
}


def broken(name: str) -> Iterator[Broken]:
    """Yield the intact file with many kinds of damage.

    It is cut, has wrong lengths and types or zero sizes, or has changed or missing bytes.
    """
    body = SOUND[name]()
    places = borders(body)
    for at in {place + shift for place in places for shift in (-1, 0, 1, 4, 9)}:
        if 0 <= at < len(body):
            yield Broken(f"cut at {at}", body[:at], is_cut=True)
    for part in range(1, 12):
        yield Broken(f"cut at {part}/12", body[: len(body) * part // 12], is_cut=True)
    for at in places:
        for value in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"):
            yield Broken(f"{value.hex()} at {at}", body[:at] + value + body[at + 4 :])
        yield Broken(f"another type at {at}", body[: at + 4] + b"abcd" + body[at + 8 :])
        yield Broken(f"four bytes more at {at}", body[:at] + bytes(4) + body[at:])
    for one, two in pairwise(places):
        yield Broken(f"without {one}–{two}", body[:one] + body[two:])
        yield Broken(f"twice {one}–{two}", body[:two] + body[one:])
    yield from _turned(body, random.Random(name))


def _turned(body: bytes, chance: random.Random) -> Iterator[Broken]:
    for number in range(40):
        damaged = bytearray(body)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged) if number % 2 else min(len(damaged), 64))] = chance.randrange(256)
        yield Broken(f"turned {number}", bytes(damaged))
    for number in range(10):
        at = chance.randrange(len(body))
        yield Broken(f"zeros {number}", body[:at] + bytes(min(512, len(body) - at)) + body[at + 512 :])


def borders(body: bytes) -> list[int]:
    """Return the offsets of at most 24 parts of a file, by the structure of its format."""
    if body.startswith(b"\x89PNG"):
        found = _walk(body, 8, lambda at: 12 + struct.unpack_from(">I", body, at)[0])
    elif body.startswith(b"RIFF"):
        found = [4, 8, *_walk(body, 12, lambda at: 8 + (struct.unpack_from("<I", body, at + 4)[0] + 1) // 2 * 2)]
    elif body[4:8] == b"ftyp":
        found = _walk(body, 0, lambda at: struct.unpack_from(">I", body, at)[0] or len(body))
        found += [at - 4 for at in range(len(body) - 4) if body[at : at + 4] in (b"ispe", b"iloc", b"av1C", b"ipma")]
    elif body.startswith(b"GIF"):
        found = [6, 13, *(at for at in range(13, len(body)) if body[at : at + 2] in (b"\x21\xf9", b"\x00\x2c"))]
    else:
        found = [at for at in range(len(body) - 1) if body[at] == 0xFF and body[at + 1] not in (0, 0xFF)]
    return sorted(found)[:24]


def _walk(body: bytes, at: int, length: Callable[[int], int]) -> list[int]:
    found = []
    while at + 8 <= len(body):
        found.append(at)
        at += length(at)
    return found
