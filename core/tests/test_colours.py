"""Colours with a profile become the sRGB colours of published formulas (icc.py), within 3 of 255."""

import random
import struct
import zlib
from io import BytesIO
from itertools import product

import pytest
from PIL import Image, ImageOps

from core.images.conversion import ImageRefused, reencode
from core.tests import icc
from core.tests.test_images import chunk, encoded, painted, png_of_nothing, refusal

COLOURS = [(255, 60, 60), (0, 255, 0), (10, 10, 200), (128, 128, 128), (255, 255, 255), (30, 0, 90), (250, 200, 20)]
NEAR = 3


def flat(mode: str, colour, size: int = 24) -> Image.Image:
    return Image.new(mode, (size, size), colour)


def stored(body: bytes, at: tuple[int, int] = (12, 12)) -> tuple[int, ...]:
    return painted(reencode(body)).convert("RGBA").getpixel(at)


def assert_near(found, wanted) -> None:
    assert all(abs(one - two) <= NEAR for one, two in zip(found, wanted, strict=False)), (found, wanted)


@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB", "ProPhoto", "sRGB"])
@pytest.mark.parametrize(
    "colour", [*COLOURS[:2], *(pytest.param(colour, marks=pytest.mark.thorough) for colour in COLOURS[2:])]
)
@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("AVIF", "RGB")])
def test_colours_of_a_profile_become_those_of_srgb(space, colour, kind, mode):
    more = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
    body = encoded(flat(mode, colour), kind, icc_profile=icc.rgb_profile(space), **more)

    assert_near(stored(body), icc.srgb(space, colour))


@pytest.mark.parametrize("size", [24, 1_700])
def test_a_photo_keeps_its_colours_at_any_size(size):
    body = encoded(
        flat("RGB", (200, 60, 60), size), "JPEG", quality=95, subsampling=0, icc_profile=icc.rgb_profile("Display P3")
    )

    assert_near(stored(body), icc.srgb("Display P3", (200, 60, 60)))


@pytest.mark.parametrize("grey", [0, 20, 90, 160, 255])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_with_a_profile_has_the_right_brightness(grey, mode):
    if mode == "I;16":
        image = Image.frombytes("I;16", (24, 24), struct.pack("<H", grey * 257) * 576)
    else:
        image = flat(mode, grey if mode == "L" else (grey, 255))
    wanted = icc.encoded((grey / 255) ** 1.4)

    assert_near(stored(encoded(image, "PNG", icc_profile=icc.grey_profile(1.4))), (wanted,) * 3)


def ink(c: float, m: float, y: float, k: float) -> tuple[float, float, float]:
    """The Lab colour of an invented printer."""
    light = 1 - k
    return 100 * light * (1 - 0.15 * (c + m + y)), 60 * (m - c) * light, 70 * (y - (c + m) / 2) * light


@pytest.mark.parametrize("colour", [*product((0, 255), repeat=3)])
@pytest.mark.parametrize("black", [0, 96])
def test_four_colours_with_a_profile_look_as_they_are_printed(colour, black):
    body = encoded(flat("CMYK", (*colour, black)), "JPEG", quality=100, icc_profile=icc.cmyk_profile(ink, 17))

    wanted = icc.srgb_of_xyz(icc.xyz_of_lab(*ink(*(value / 255 for value in (*colour, black)))))

    assert_near(stored(body), wanted)


def test_a_palette_has_a_profile_and_transparency():
    image = flat("P", 0)
    image.putpalette([255, 60, 60, 0, 0, 0])
    image.paste(1, (0, 0, 12, 24))
    profile = icc.rgb_profile("Display P3")

    body = encoded(image, "PNG", transparency=1, icc_profile=profile)

    assert_near(stored(body, (18, 12)), (*icc.srgb("Display P3", (255, 60, 60)), 255))
    assert stored(body, (6, 12))[3] == 0


def test_half_transparent_colours_are_converted_as_opaque_ones():
    image = flat("RGBA", (255, 60, 60, 64), 2_000)  # scaled down, which weights colours by their opacity
    image.paste((0, 255, 0, 0), (0, 0, 1_000, 2_000))

    body = encoded(image, "PNG", icc_profile=icc.rgb_profile("Display P3"))

    assert_near(stored(body, (1_200, 12)), (*icc.srgb("Display P3", (255, 60, 60)), 64))
    assert_near(stored(body, (803, 800)), (*icc.srgb("Display P3", (255, 60, 60)), 64))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_each_frame_of_an_animation_is_converted(kind):
    frames = [flat("RGB", colour) for colour in ((255, 60, 60), (10, 10, 200))]
    more = {"quality": 100} if kind != "PNG" else {}
    body = encoded(
        frames[0], kind, save_all=True, append_images=frames[1:], icc_profile=icc.rgb_profile("Display P3"), **more
    )

    image = painted(reencode(body))

    for number, colour in enumerate(((255, 60, 60), (10, 10, 200))):
        image.seek(number)
        found = image.convert("RGB").getpixel((12, 12))
        assert all(abs(one - two) <= 6 for one, two in zip(found, icc.srgb("Display P3", colour), strict=True))


# --- Transparency and depth -------------------------------------------------------------------------
def png(width: int, height: int, depth: int, kind: int, rows: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + data + chunk(b"IEND", b"")


def test_sixteen_bits_of_a_colour_are_cut_to_eight():
    row = b"\0" + struct.pack(">HHH", 0xFF00, 0x8080, 0x0101) * 4

    assert_near(stored(png(4, 4, 16, 2, row * 4), (2, 2)), (255, 128, 1, 255))


def test_one_value_of_sixteen_bit_grey_is_transparent():
    row = b"\0" + struct.pack(">4H", 0x1234, 0x1235, 0x1233, 0xFFFF)
    body = png(4, 4, 16, 0, row * 4, chunk(b"tRNS", struct.pack(">H", 0x1234)))

    assert [stored(body, (x, 1))[3] for x in range(4)] == [0, 255, 255, 255]
    assert_near(stored(body, (1, 1)), (0x12, 0x12, 0x12))


def test_one_colour_of_sixteen_bits_is_transparent():
    row = b"\0" + struct.pack(">6H", 0x1200, 0x3400, 0x5600, 0xFF00, 0, 0)
    body = png(2, 2, 16, 2, row * 2, chunk(b"tRNS", struct.pack(">3H", 0x1200, 0x3400, 0x5600)))

    assert [stored(body, (x, 1))[3] for x in range(2)] == [0, 255]


# --- Unusable profiles ------------------------------------------------------------------------------
P3 = icc.rgb_profile("Display P3")


def lying_about(at: int, value: bytes) -> bytes:
    return P3[:at] + value + P3[at + len(value) :]


@pytest.mark.parametrize(
    "profile",
    [
        b"x", bytes(128), P3[:127], P3[:200], P3[:-40], lying_about(36, b"none"), lying_about(12, b"link"),
        lying_about(16, b"CMYK"), lying_about(16, b"GRAY"), lying_about(0, b"\xff" * 4),
        lying_about(128, b"\xff" * 4), icc.grey_profile(1.8), icc.cmyk_profile(ink, 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_profile_of_no_use_leaves_the_colours_as_they_are(profile, kind):
    body = encoded(flat("RGB", (250, 200, 20)), kind, icc_profile=profile, quality=95)

    assert_near(stored(body), (250, 200, 20))


def with_profile(profile: bytes) -> bytes:
    body = encoded(flat("RGB", (250, 200, 20)), "PNG")
    return body[:33] + chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)) + body[33:]


def test_a_profile_that_unzips_to_gigabytes_is_left_out():
    assert_near(stored(with_profile(bytes(300_000_000))), (250, 200, 20))


def test_a_large_sound_profile_is_used():
    assert_near(stored(with_profile(P3 + bytes(2_000_000))), icc.srgb("Display P3", (250, 200, 20)))


@pytest.mark.parametrize("count", [1, 500_000])
def test_steps_of_computation_in_a_profile_are_passed_over(count):
    swapped = ((0, 0, 1), (0, 1, 0), (1, 0, 0))
    alone = icc.profile_of_steps(count, swapped)
    beside = icc.profile_of_steps(count, swapped, icc.matrix_tags("Display P3"))

    assert_near(stored(with_profile(alone)), (250, 200, 20))
    assert_near(stored(with_profile(beside)), icc.srgb("Display P3", (250, 200, 20)))


def test_profiles_with_turned_bits_change_colours_or_nothing_else():
    chance = random.Random(11)
    for _ in range(300):
        profile = bytearray(chance.choice([P3, icc.grey_profile(2.2)]))
        for _ in range(chance.randint(1, 5)):
            profile[chance.randrange(len(profile))] = chance.randrange(256)
        picture = reencode(with_profile(bytes(profile)))
        assert (picture.width, picture.height) == (24, 24)


# --- Metadata ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt"])
def test_a_large_text_beside_the_pixels_is_left_behind(kind):
    text = {
        b"zTXt": b"Comment\0\0" + zlib.compress(bytes(3_000_000)),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(bytes(3_000_000)),
        b"tEXt": b"Comment\0" + b"x" * 1_500_000,
    }[kind]
    body = encoded(flat("RGB", (250, 200, 20)), "PNG")

    assert_near(
        stored(body[:33] + chunk(kind, text) * 2 + body[33:-12] + chunk(kind, text) + body[-12:]), (250, 200, 20)
    )


@pytest.mark.parametrize("kind", [b"tEXt", b"IDAT"])
def test_a_png_of_very_many_chunks_is_refused(kind):
    body = png_of_nothing(8, 8)

    assert refusal(body[:33] + chunk(kind, b"") * 70_000 + body[33:]) == "The image consists of too many parts."


# --- Formats ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc"])
def test_heic_is_refused_with_what_to_do(brand):
    body = struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1heic" + bytes(400)

    assert refusal(body) == "HEIC images cannot be read here. Save the image as JPEG or PNG, and try again."


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_picture_is_stored_upright(kind, orientation):
    image = Image.new("RGB", (32, 16), "black")
    image.paste((255, 255, 255), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encoded(image, kind, exif=exif, quality=95)
    with_orientation = image.copy()
    with_orientation.getexif()[0x0112] = orientation
    wanted = ImageOps.exif_transpose(with_orientation).convert("L")

    found = painted(reencode(body)).convert("L")

    assert found.size == wanted.size
    for x, y in product((4, found.width - 5), (4, found.height - 5)):
        assert abs(found.getpixel((x, y)) - wanted.getpixel((x, y))) < 60


# --- Lossless ---------------------------------------------------------------------------------------
def sprite(size: int) -> Image.Image:
    """Return pixel art, whose neighbouring pixels have very different colours."""
    colours = [(230, 30, 60), (20, 20, 30), (250, 220, 90), (60, 160, 240), (0, 0, 0), (255, 255, 255)]
    image = Image.new("RGB", (16, 16))
    image.putdata([colours[(x * 7 + y * 5 + x * y) % 6] for y in range(16) for x in range(16)])
    return image.resize((size, size), Image.Resampling.NEAREST)


@pytest.mark.parametrize("size", [16, 64, 256, 1_024])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_pixel_art_is_stored_without_loss(size, kind):
    image = painted(reencode(encoded(sprite(size), kind))).convert("RGB")

    assert image.tobytes() == sprite(size).tobytes()


def test_animated_pixel_art_is_stored_without_loss():
    frames = [sprite(32), sprite(32).transpose(Image.Transpose.ROTATE_90)]
    image = painted(reencode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0)))

    for number, frame in enumerate(frames):
        image.seek(number)
        assert image.convert("RGB").tobytes() == frame.tobytes()


def test_a_photo_is_stored_with_losses_that_save_room():
    noise = Image.frombytes("RGB", (400, 300), random.Random(3).randbytes(360_000)).resize((800, 600))

    assert len(reencode(encoded(noise, "PNG")).content) < 800 * 600


def test_nothing_but_a_refusal_is_raised_for_an_avif_that_is_cut():
    body = encoded(flat("RGB", (250, 200, 20)), "AVIF")
    for end in range(0, len(body), 7):
        with pytest.raises(ImageRefused):
            reencode(body[:end])
    assert Image.open(BytesIO(body)).format == "AVIF"
