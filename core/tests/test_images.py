"""Re-encoding of pictures: valid ones become a clean WebP, all others an error message."""

import hashlib
import random
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from PIL import GifImagePlugin, Image, ImageFile

from core.busy import Busy
from core.images import conversion
from core.images.conversion import MAX_BODY_BYTES, ImageRefused, Picture, reencode


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def photo(width: int = 120, height: int = 80, mode: str = "RGB") -> Image.Image:
    """Return a picture with some structure, the same each time."""
    small = Image.frombytes("RGB", (12, 8), random.Random(1).randbytes(12 * 8 * 3))
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def painted(picture: Picture) -> Image.Image:
    return Image.open(BytesIO(picture.content), formats=["WEBP"])


def refusal(body: bytes) -> str:
    with pytest.raises(ImageRefused) as caught:
        reencode(body)
    assert caught.value.reason.endswith(".")
    return caught.value.reason


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_nothing(width: int, height: int) -> bytes:
    """Quickly build a valid black PNG of any size: one row is deflated and repeated."""
    row = bytes(width * 3 + 1)
    deflate = zlib.compressobj(wbits=-15)
    rows = (deflate.compress(row) + deflate.flush(zlib.Z_FULL_FLUSH)) * height + deflate.flush()
    checksum = struct.pack(">HH", len(row) * height % 65521, 1)  # Adler-32 of zeros only
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", b"\x78\x9c" + rows + checksum)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


GIF_PIXEL = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"


def gif(width: int, height: int, *frames: bytes) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    return b"GIF89a" + screen + b"".join(frames) + b";"


def animation(kind: str, count: int = 3, **options: Any) -> bytes:
    colours = ["red", "lime", "blue", "white", "black", "yellow"]
    size = (60, 40) if count < 100 else (6, 4)
    frames = [Image.new("RGB", size, colours[number % 6]) for number in range(count)]
    more = {"duration": 80, "loop": 0} | options
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **more)


# --- Valid pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_becomes_a_webp_that_looks_the_same(kind):
    picture = reencode(encoded(photo(), kind))

    image = painted(picture).convert("RGB")
    assert (picture.extension, picture.width, picture.height) == (".webp", 120, 80)
    assert image.size == (120, 80)
    assert picture.sha256 == hashlib.sha256(picture.content).hexdigest()
    expected = photo().getpixel((60, 40))
    assert all(abs(got - want) < 40 for got, want in zip(image.getpixel((60, 40)), expected, strict=True))


def test_the_same_bytes_become_the_same_picture():
    body = encoded(photo(), "PNG")

    assert reencode(body) == reencode(body)


@pytest.mark.parametrize(("size", "stored"), [((2000, 500), (1600, 400)), ((500, 2000), (400, 1600))])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_picture_is_made_to_fit(size, stored, kind):
    picture = reencode(encoded(Image.new("RGB", size, "teal"), kind))

    assert (picture.width, picture.height) == stored == painted(picture).size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_read(mode):
    image = Image.frombytes("I;16", (8, 8), b"\x00\x80" * 64) if mode == "I;16" else photo(8, 8, mode)

    assert painted(reencode(encoded(image, "PNG"))).size == (8, 8)


def test_sixteen_bits_of_grey_keep_their_brightness():
    half = Image.frombytes("I;16", (8, 8), b"\x00\x80" * 64)

    assert painted(reencode(encoded(half, "PNG"))).convert("L").getpixel((4, 4)) == pytest.approx(128, abs=4)


def test_a_jpeg_in_four_colours_can_be_read():
    assert painted(reencode(encoded(photo(mode="CMYK"), "JPEG"))).size == (120, 80)


def test_what_is_transparent_stays_so():
    glass = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    glass.paste((0, 0, 255, 255), (20, 0, 40, 40))

    image = painted(reencode(encoded(glass, "PNG")))

    assert (image.mode, image.getpixel((5, 20))[3], image.getpixel((35, 20))[3]) == ("RGBA", 0, 255)


def test_a_photo_taken_sideways_is_turned_upright_and_forgets_where_it_was_taken():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated: must be turned right to be upright
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    left_white = Image.new("RGB", (100, 60), "black")
    left_white.paste((255, 255, 255), (0, 0, 50, 60))

    picture = reencode(encoded(left_white, "JPEG", exif=exif, quality=95))

    image = painted(picture)
    assert (picture.width, picture.height) == image.size == (60, 100)
    assert image.convert("L").getpixel((30, 10)) > 200 > 50 > image.convert("L").getpixel((30, 90))
    assert not image.getexif()
    assert b"A camera" not in picture.content


def test_the_further_pictures_of_a_phone_s_jpeg_are_left_behind():
    body = encoded(photo(), "MPO", save_all=True, append_images=[photo(60, 40)])

    assert getattr(painted(reencode(body)), "n_frames", 1) == 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_stays_one_with_its_pace(kind):
    image = painted(reencode(animation(kind)))

    assert image.n_frames == 3
    assert image.info["loop"] == 0
    image.seek(1)
    image.load()
    assert image.info["duration"] == 80
    red, green, blue = image.convert("RGB").getpixel((30, 20))
    assert green > 200 and red < 60 and blue < 60


def test_a_large_animation_is_made_to_fit():
    frames = [Image.new("RGB", (1700, 850), colour) for colour in ("red", "blue")]
    picture = reencode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))

    assert (picture.width, picture.height, painted(picture).n_frames) == (1600, 800, 2)


@pytest.mark.parametrize("count", [51, 300, 1_000])
def test_long_animations_are_accepted(count):
    assert painted(reencode(animation("GIF", count))).n_frames == count


# --- Malicious pictures -------------------------------------------------------------------------


def test_what_hides_behind_a_picture_is_gone():
    html = b"<script>alert(document.cookie)</script>"
    for kind in ("PNG", "JPEG", "GIF"):
        assert b"script" not in reencode(encoded(photo(), kind) + html).content


def test_what_hides_in_a_picture_is_gone():
    text = chunk(b"tEXt", b"Comment\x00<script>alert(1)</script>")
    body = encoded(photo(), "PNG")
    after_header = 8 + 25

    assert b"script" not in reencode(body[:after_header] + text + body[after_header:]).content


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><p>Not found",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
        b"GIF89a<script>alert(1)</script>/*",
        encoded(photo(), "PNG")[:60] + b"<script>alert(1)</script>",
        encoded(photo(), "JPEG")[:-300],
        encoded(photo(), "PNG")[:-300],
        encoded(photo(), "WEBP")[:-300],
        encoded(photo(), "GIF")[:-300],
        encoded(photo(), "BMP"),
        encoded(photo(), "TIFF"),
        encoded(photo(), "PDF"),
        encoded(photo(), "ICO"),
    ],
)
def test_what_is_not_a_complete_picture_of_the_four_kinds_is_refused(body):
    assert refusal(body) == "The file is not a PNG, JPEG, WebP, GIF or AVIF image, or it is damaged."


def test_a_picture_just_within_the_limits_is_accepted():
    assert painted(reencode(png_of_nothing(8_000, 50))).size == (1600, 10)


def test_a_body_of_more_than_five_mebibytes_is_refused():
    assert refusal(encoded(photo(), "PNG") + bytes(MAX_BODY_BYTES)) == "The image is larger than 5 MiB."


@pytest.mark.parametrize(("width", "height"), [(13_000, 13_000), (5_001, 5_000), (8_001, 10), (10, 8_001)])
def test_too_many_pixels_are_refused_before_they_are_decoded(width, height, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("The pixels are decoded."))

    reason = refusal(png_of_nothing(width, height))

    assert reason == "The image has more than 25 million pixels, or more than 8000 a side."


@pytest.mark.parametrize("size", [(5_001, 5_000), (9_000, 9_000), (60_000, 60_000), (8_001, 10)])
def test_a_gif_that_grows_with_its_second_frame_is_refused(size):
    grown = b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x44\x01\x00"

    assert "25 million pixels" in refusal(gif(10, 10, GIF_PIXEL, grown, GIF_PIXEL))


def test_thousands_of_frames_are_refused_without_counting_them(monkeypatch):
    sought: list[int] = []
    seek = GifImagePlugin.GifImageFile.seek
    monkeypatch.setattr(
        GifImagePlugin.GifImageFile, "seek", lambda self, frame: (sought.append(frame), seek(self, frame))[1]
    )

    reason = refusal(gif(100, 100, GIF_PIXEL * 200_000))

    assert reason == "The animation has more than 1000 frames."
    assert max(sought, default=0) <= 1_001


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_thousand_and_one_frames_are_refused(kind):
    assert refusal(animation(kind, 1_001)) == "The animation has more than 1000 frames."


def test_large_frames_are_added_up():
    assert "50 million pixels in all" in refusal(gif(4_000, 4_000, GIF_PIXEL * 10))


def test_pictures_with_bits_turned_over_are_repainted_or_refused_and_nothing_else():
    chance = random.Random(7)
    bodies = [encoded(photo(30, 20), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")]
    bodies += [animation(kind, 2) for kind in ("GIF", "WEBP", "PNG")]
    for _ in range(700):
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.randint(1, 6)):
            body[chance.randrange(min(len(body), chance.choice([40, 4_000])))] = chance.randrange(256)

        try:
            picture = reencode(bytes(body))
        except ImageRefused:
            continue
        assert painted(picture).size == (picture.width, picture.height)


# --- Pictures that would need much time or memory -------------------------------------------------


def progressive(width: int, height: int, scans: int) -> bytes:
    """Return a progressive JPEG whose last scan, which changes nothing, is repeated `scans` more times."""
    body = encoded(Image.new("RGB", (width, height)), "JPEG", progressive=True)
    last = body[body.rfind(b"\xff\xda") : -2]
    return body[:-2] + last * scans + body[-2:]


def test_a_jpeg_of_more_scans_than_any_program_writes_is_refused():
    assert reencode(progressive(5000, 5000, 0)).width == 1600
    assert reencode(progressive(64, 64, 1_000)).width == 64

    with pytest.raises(ImageRefused, match="too many scans"):
        reencode(progressive(5000, 5000, 20))


@pytest.mark.parametrize(
    "body",
    [
        gif(2, 2, b"\x21\xfe\x01a\x00" * 100_000, GIF_PIXEL),
        gif(2, 2, b"\x21\xfe" + b"\x01a" * 100_000 + b"\x00", GIF_PIXEL),
        gif(2, 2, bytes(100_000), GIF_PIXEL),
        encoded(photo(), "JPEG")[:2] + b"\xff\xfe\x00\x03a" * 100_000 + encoded(photo(), "JPEG")[2:],
        encoded(photo(), "JPEG")[:2] + b"\xff" * 100_000 + encoded(photo(), "JPEG")[2:],
        b"\x89PNG\r\n\x1a\n" + png_of_nothing(8, 8)[8:33] + chunk(b"IDAT", b"") * 50_000 + png_of_nothing(8, 8)[33:],
    ],
    ids=["GIF comments", "GIF blocks", "GIF padding", "JPEG comments", "JPEG padding", "PNG chunks"],
)
def test_a_picture_of_very_many_small_parts_is_refused(body):
    with pytest.raises(ImageRefused, match="too many parts"):
        reencode(body)


def test_a_large_picture_waits_for_a_place_and_a_small_one_does_not(monkeypatch):
    monkeypatch.setattr(conversion, "WAIT_SECONDS", 0.1)
    large, small = png_of_nothing(2000, 2000), encoded(photo(), "PNG")
    with conversion._places, conversion._places:
        with pytest.raises(Busy, match="Please try again in a moment"):
            reencode(large)
        assert reencode(small).width == 120

    assert reencode(large).width == 1600


def test_a_refused_picture_gives_its_place_back():
    whole = png_of_nothing(2000, 2000)
    damaged = whole[:33] + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    for _ in range(conversion.AT_ONCE + 1):
        assert "damaged" in refusal(damaged)

    assert reencode(whole).width == 1600
