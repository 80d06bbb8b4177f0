"""Conversion of an image with an ICC profile to sRGB: stored images have no profile, and browsers treat them as sRGB.

The conversion is relative colorimetric without black point compensation, as in browsers. A profile that is damaged, or
made for other channels than the image has, is ignored, also as in browsers: the colours are taken as sRGB.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 1024 * 1024  # printing profiles are the largest, with up to 3 MiB
HEADER_BYTES = 128
TAG_BYTES = 12  # of an entry of the tag table: name, offset and size
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # ICC.1, 7.2.8
CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}  # ICC.1, 7.2.5: the classes that describe colours of pixels
TRANSPARENT = {"RGBA": "RGB", "LA": "L"}


class ToSrgb:
    """Conversion from one profile, or from none, for all frames of an image.

    A conversion `by_tables`, as for printing, is exact for still images only: it takes about a second per megapixel.
    """

    by_tables = False

    def __init__(self, profile: bytes | None, *, is_still: bool = True) -> None:
        self.mode = _mode_of(profile)
        self._transform: ImageCms.ImageCmsTransform | None = None
        if profile and self.mode:
            with suppress(ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile is ignored
                opened = ImageCms.ImageCmsProfile(BytesIO(_without_steps(profile)))
                self.by_tables = self.mode == "CMYK" or not opened.profile.is_matrix_shaper
                self._transform = _transform(opened, self.mode, without_table=self.by_tables and is_still)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return an image of mode RGB, L, RGBA, LA or CMYK in sRGB colours, with unchanged transparency."""
        plain = TRANSPARENT.get(image.mode, image.mode)
        if self._transform is None or plain != self.mode:
            return image
        converted = ImageCms.applyTransform(image.convert(plain), self._transform)
        if converted is not None and image.mode in TRANSPARENT:
            converted.putalpha(image.getchannel("A"))
        return converted or image


def _mode_of(profile: bytes | None) -> str:
    """Return the image mode that the profile is for, or "" if the profile is not usable."""
    if profile is None or not HEADER_BYTES + 4 <= len(profile) <= MAX_PROFILE_BYTES:
        return ""
    size, kind, space, mark = struct.unpack_from(">I8x4s4s16x4s", profile)
    usable = mark == b"acsp" and kind in CLASSES and size <= len(profile)
    return MODES.get(space, "") if usable else ""


def _without_steps(profile: bytes) -> bytes:
    """Return the profile without the tags D2B0 to D2B3 (ICC.1, 9.2.17 to 9.2.20), which browsers ignore too.

    They list computation steps for each pixel, and half a million entries may refer to the same step: an image of 2 KiB
    would take minutes.
    """
    found = bytearray(profile)
    (count,) = struct.unpack_from(">I", found, HEADER_BYTES)
    table = range(HEADER_BYTES + 4, len(found) - TAG_BYTES + 1, TAG_BYTES)
    for at in table[:count]:
        if found[at : at + 3] == b"D2B":
            found[at : at + 3] = b"d2b"  # a name without meaning
    return bytes(found)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str, *, without_table: bool) -> ImageCms.ImageCmsTransform:
    # By default lcms computes a table for the whole conversion, with errors of up to 20 in dark colours. A conversion
    # by curves and a matrix alone needs no table, is exact, and ten times as fast.
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.NOOPTIMIZE if without_table else ImageCms.Flags.NONE,
    )
