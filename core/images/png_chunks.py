"""Removal of PNG chunks around the pixels: texts, and the colour profile, which is returned separately.

Both are compressed and may expand a hundredfold. Pillow refuses an image with a text of more than 1 MiB, although the
text is not needed.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# All other chunks that affect how the pixels look are kept: PNG, third edition, 11.3.
LEFT_OUT = {b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"sPLT", b"hIST"}
MAX_CHUNKS = 60_000


class TooManyChunks(Exception):
    """The file has more than MAX_CHUNKS chunks."""


def without_texts(body: bytes, max_profile: int) -> tuple[bytes, bytes | None]:
    """Return a PNG without the LEFT_OUT chunks, and its ICC profile unless that is damaged or exceeds `max_profile`.

    Other data is returned unchanged, also a PNG whose chunks do not reach its end. Raises TooManyChunks.
    """
    if not body.startswith(SIGNATURE):
        return body, None
    kept, profile, at = [SIGNATURE], None, len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if len(body) - at < 12:
            break
        length, kind = struct.unpack_from(">I4s", body, at)
        following = at + 12 + length
        if following > len(body):
            break
        if kind not in LEFT_OUT:
            kept.append(body[at:following])
        elif kind == b"iCCP" and profile is None:
            profile = _profile(body[at + 8 : following - 4], max_profile)
        at = following
        if kind == b"IEND":
            return b"".join(kept), profile
    else:
        raise TooManyChunks
    return b"".join([*kept, body[at:]]), profile


def _profile(data: bytes, most: int) -> bytes | None:
    """Decompress the profile, which follows its name and the byte of the compression method."""
    _, found, zipped = data.partition(b"\0")
    if not found or zipped[:1] != b"\0":
        return None
    try:
        unzip = zlib.decompressobj()
        profile = unzip.decompress(zipped[1:], most)
    except zlib.error:
        return None
    return profile if unzip.eof else None
