"""Check and re-encoding of uploaded images: only the re-encoded pixels are ever stored or served.

1. Only PNG, JPEG, WebP, GIF and AVIF are opened, whatever the name or the content type is. SVG can contain scripts.
2. Size, pixels, scans and frames are checked before anything is decoded; frames are counted only up to the limit. A
   file with very many small parts is refused: Pillow parses everything around the pixels in Python.
3. At most AT_ONCE large images are decoded at the same time, because each takes up to 300 MiB.
4. The pixels are re-encoded as WebP, upright, at most 1600 pixels a side and in sRGB; lossless if that is smaller, or
   if the image is small, as pixel art is. Metadata (such as the place of a photo) and data after the end of the image
   are dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, ImageChops, ImageOps, ImageSequence

from core.busy import Busy
from core.images.colours import MAX_PROFILE_BYTES, ToSrgb
from core.images.png_chunks import TooManyChunks, without_texts

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")  # further images in a JPEG (MPO) are previews and depth maps, not frames
MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 25_000_000
MAX_SIDE = 8000
MAX_FRAMES = 1_000
MAX_ANIMATION_PIXELS = 50_000_000  # frames × pixels: about a second of decoding
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS  # scans × pixels: a progressive JPEG has about ten, and each takes 0.1 s
MAX_READS = 60_000  # reads of the file by Pillow: a GIF of 5 MiB in blocks of 255 bytes takes 40,000
SMALL = 2_000_000  # pixels; smaller images do not wait for a slot
AT_ONCE = 2  # slots: large images that are decoded at the same time
WAIT_SECONDS = 5.0  # for a slot
STORED_SIDE = 1600
QUALITY = 82
SMALL_ART = 256 * 256  # pixels of all frames: stored lossless, because losses show when it is enlarged
FEW_COLOURS = 4_096  # of a drawing: lossless may be smaller
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")  # ISO/IEC 23008-12
NOT_A_PICTURE = "The file is not a PNG, JPEG, WebP, GIF or AVIF image, or it is damaged."
TOO_MANY_PARTS = "The image consists of too many parts."
HEIC = "HEIC images cannot be read here. Save the image as JPEG or PNG, and try again."
MIN_FRAME_DURATION, USUAL_FRAME, MAX_FRAME_DURATION = 20, 100, 60_000  # ms; browsers show a frame of 0 ms for 100

# Pillow's own limit only warns by default, and only from 89 million pixels. Set once at import: filters of `warnings`
# are not safe to change while other threads run.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
_places = threading.BoundedSemaphore(AT_ONCE)


class ImageRefused(Exception):
    """The image is not accepted. `reason` is one sentence for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A re-encoded WebP: its bytes, file extension (".webp"), size in pixels, and the SHA-256 of its content."""

    content: bytes
    extension: str
    width: int
    height: int
    sha256: str


def reencode(body: bytes) -> Picture:
    """Return the image in `body` re-encoded as WebP.

    Raises ImageRefused if it is not an acceptable image, and Busy if too many are being decoded.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ImageRefused(f"The image is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.")
    if body[4:8] == b"ftyp" and body[8:12] in HEIC_BRANDS and b"avif" not in body[8:64]:
        raise ImageRefused(HEIC)
    try:
        body, profile = without_texts(body, MAX_PROFILE_BYTES)
        with _place_for(_size_of(body)):
            _vet_frames(body)
            frames, durations, loop = _frames(body, profile)
            return _painted(frames, durations, loop)
    except (ImageRefused, Busy):
        raise
    except TooManyChunks as error:
        raise ImageRefused(TOO_MANY_PARTS) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except Exception as error:  # decoders raise arbitrary exceptions for malicious input
        raise ImageRefused(NOT_A_PICTURE) from error


class _FewReads(BytesIO):
    """Bytes of an image that can be read at most MAX_READS times."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ImageRefused(TOO_MANY_PARTS)
        return super().read(size)


def _opened(body: bytes) -> Image.Image:
    return Image.open(_FewReads(body), formats=FORMATS)


@contextlib.contextmanager
def _place_for(pixels: int) -> Iterator[None]:
    """Hold a slot for an image of this size. Raises Busy after WAIT_SECONDS."""
    if pixels <= SMALL:
        yield
        return
    if not _places.acquire(timeout=WAIT_SECONDS):
        raise Busy("Several other large images are being processed. Please try again in a moment.")
    try:
        yield
    finally:
        _places.release()


def _size_of(body: bytes) -> int:
    """Return the number of pixels that decoding may need in memory, after the checks of rule 2, without decoding."""
    with _opened(body) as image:
        _check_size(image)
        pixels = image.width * image.height
        if image.format not in ANIMATED:
            scans = body.count(b"\xff\xda")  # these bytes cannot occur in the pixel data
            if scans * pixels > MAX_SCANNED_PIXELS:
                raise ImageRefused("The image has too many scans.")
        most = MAX_ANIMATION_PIXELS if _is_animated(image) else pixels
        image.verify()  # the image cannot be used afterwards, so callers open it again
    return most


def _vet_frames(body: bytes) -> None:
    with _opened(body) as image:
        if _is_animated(image):
            _check_frames(image)


def _is_animated(image: Image.Image) -> bool:
    return image.format in ANIMATED and bool(getattr(image, "is_animated", False))


def _check_size(image: Image.Image) -> None:
    if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
        raise _too_large()


def _too_large() -> ImageRefused:
    return ImageRefused(
        f"The image has more than {MAX_PIXELS // 1_000_000} million pixels, or more than {MAX_SIDE} a side."
    )


def _check_frames(image: Image.Image) -> None:
    """Check frame by frame: asking a GIF for the number of frames would read all of them, possibly a million."""
    for number in range(MAX_FRAMES + 1):
        try:
            image.seek(number)
        except EOFError:
            return
        _check_size(image)  # a later frame of a GIF may enlarge it
        if (number + 1) * image.width * image.height > MAX_ANIMATION_PIXELS:
            raise ImageRefused(
                f"The animation has more than {MAX_ANIMATION_PIXELS // 1_000_000} million pixels in all."
            )
    raise ImageRefused(f"The animation has more than {MAX_FRAMES} frames.")


def _frames(body: bytes, profile: bytes | None) -> tuple[list[Image.Image], list[int], int]:
    """Return the frames as they are stored, the duration of each (ms), and the number of loops (0 = endless).

    `profile` is the ICC profile of a PNG; for other formats Pillow provides it.
    """
    with _opened(body) as image:
        is_still = not _is_animated(image)
        key = image.info.get("transparency")
        if isinstance(key, tuple) and image.format == "PNG" and body[24] == 16:  # bit depth; Pillow reads 8 bits
            image.info["transparency"] = tuple(value >> 8 for value in key)
        to_srgb = ToSrgb(profile or image.info.get("icc_profile"), is_still=is_still)
        if is_still:
            image.draft("RGB", (STORED_SIDE, STORED_SIDE))  # a large JPEG is decoded at half its size or less
            still = _fitted(image, to_srgb)
            ImageOps.exif_transpose(still, in_place=True)
            return [still], [0], 0
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(_fitted(frame.copy(), to_srgb))
            shown = int(frame.info.get("duration") or USUAL_FRAME)
            durations.append(min(max(shown, MIN_FRAME_DURATION), MAX_FRAME_DURATION))
        return frames, durations, int(image.info.get("loop", 1))


def _fitted(image: Image.Image, to_srgb: ToSrgb) -> Image.Image:
    """Return the image in a mode that WebP supports and at most in the stored size; without a copy if possible."""
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    plain = to_srgb.mode if to_srgb.mode in ("L", "CMYK") and image.mode in ("L", "LA", "CMYK") else "RGB"
    wanted = f"{plain}A" if image.has_transparency_data and plain != "CMYK" else plain
    if image.mode != wanted:
        image = image.convert(wanted)
    if image.mode in ("RGBA", "LA") and not to_srgb.by_tables:
        image = to_srgb(image)  # before resizing, which rounds nearly transparent colours
        to_srgb = ToSrgb(None)
    image.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
    image = to_srgb(image)
    return image.convert("RGBA" if image.mode in ("RGBA", "LA") else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey scaled to 8 bits, with its transparent value. Pillow would clip bright values."""
    wide = image.convert("I")
    grey = wide.point(lambda value: value / 257).convert("L")
    through = image.info.get("transparency")
    grey.info = {name: value for name, value in image.info.items() if name != "transparency"}
    if isinstance(through, int):
        above = wide.point(lambda value: value - through).convert("L")
        below = wide.point(lambda value: value * -1 + through).convert("L")
        grey.putalpha(ImageChops.lighter(above, below).point(lambda value: 255 if value else 0))
    return grey


def _painted(frames: list[Image.Image], durations: list[int], loop: int) -> Picture:
    first = frames[0]
    if first.width * first.height * len(frames) <= SMALL_ART:
        content = _written(frames, durations, loop, lossless=True)
    else:
        content = _written(frames, durations, loop, lossless=False)
        if len(frames) == 1 and first.getcolors(FEW_COLOURS):
            content = min(_written(frames, durations, loop, lossless=True), content, key=len)
    return Picture(content, ".webp", *first.size, hashlib.sha256(content).hexdigest())


def _written(frames: list[Image.Image], durations: list[int], loop: int, *, lossless: bool) -> bytes:
    output = BytesIO()
    # Pillow would copy metadata from the frames.
    bare: dict[str, Any] = {"quality": QUALITY, "lossless": lossless, "exif": b"", "icc_profile": b"", "xmp": b""}
    if len(frames) == 1:
        frames[0].save(output, "WEBP", method=4, **bare)
    else:  # method 2: fifty frames take half of the six seconds that method 4 needs
        moving = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": loop}
        frames[0].save(output, "WEBP", method=2, **moving, **bare)
    return output.getvalue()
