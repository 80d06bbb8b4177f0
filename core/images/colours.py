"""Colours of a picture with an ICC profile, as sRGB: what is stored has no profile, and browsers take it for sRGB.

The conversion is relative colorimetric without black point compensation, as in browsers. A profile that is damaged, or
made for other channels than the picture has, is left out, also as in browsers: the colours count as sRGB.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 1024 * 1024  # those of printing are the largest, with up to 3 MiB
HEADER_BYTES = 128
TAG_BYTES = 12  # of the table of tags: name, place and size
MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # ICC.1, 7.2.8
CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}  # ICC.1, 7.2.5: those that describe the colours of pixels
TRANSPARENT = {"RGBA": "RGB", "LA": "L"}


class ToSrgb:
    """The conversion from one profile, or from none; for all frames of a picture.

    A conversion `by_tables`, as for printing, is exact for a still picture only: it takes about a second a megapixel.
    """

    by_tables = False

    def __init__(self, profile: bytes | None, *, is_still: bool = True) -> None:
        self.mode = _mode_of(profile)
        self._transform: ImageCms.ImageCmsTransform | None = None
        if profile and self.mode:
            with suppress(ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile is left out
                opened = ImageCms.ImageCmsProfile(BytesIO(_without_steps(profile)))
                self.by_tables = self.mode == "CMYK" or not opened.profile.is_matrix_shaper
                self._transform = _transform(opened, self.mode, without_table=self.by_tables and is_still)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return a picture of mode RGB, L, RGBA, LA or CMYK in colours of sRGB, as transparent as it was."""
        plain = TRANSPARENT.get(image.mode, image.mode)
        if self._transform is None or plain != self.mode:
            return image
        converted = ImageCms.applyTransform(image.convert(plain), self._transform)
        if converted is not None and image.mode in TRANSPARENT:
            converted.putalpha(image.getchannel("A"))
        return converted or image


def _mode_of(profile: bytes | None) -> str:
    """Return the mode of pictures that the profile is for, or "" for what is not a usable profile."""
    if profile is None or not HEADER_BYTES + 4 <= len(profile) <= MAX_PROFILE_BYTES:
        return ""
    size, kind, space, mark = struct.unpack_from(">I8x4s4s16x4s", profile)
    usable = mark == b"acsp" and kind in CLASSES and size <= len(profile)
    return MODES.get(space, "") if usable else ""


def _without_steps(profile: bytes) -> bytes:
    """Return the profile without D2B0 to D2B3 (ICC.1, 9.2.17 to 9.2.20), which browsers do not read either.

    They list steps of computation for each pixel, and half a million entries may name one and the same step: a picture
    of 2 KiB would take minutes.
    """
    found = bytearray(profile)
    (count,) = struct.unpack_from(">I", found, HEADER_BYTES)
    table = range(HEADER_BYTES + 4, len(found) - TAG_BYTES + 1, TAG_BYTES)
    for at in table[:count]:
        if found[at : at + 3] == b"D2B":
            found[at : at + 3] = b"d2b"  # a name without a meaning
    return bytes(found)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str, *, without_table: bool) -> ImageCms.ImageCmsTransform:
    # lcms computes a table of the whole conversion, which is off by up to 20 in dark colours. By curves and a matrix
    # alone, which needs no table, it is exact, and ten times as quick.
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.NOOPTIMIZE if without_table else ImageCms.Flags.NONE,
    )
