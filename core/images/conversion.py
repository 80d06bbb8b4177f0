"""Vet and re-encode: no byte of a stranger's picture is ever stored or served, only what we painted after it.

1. Only PNG, JPEG, WebP, GIF and AVIF are opened, whatever the name or the content type says. SVG is a program.
2. Size, pixels, scans and frames are looked at before anything is decoded; frames are counted no further than the
   limit. A file of very many small parts is refused: Pillow reads what lies around the pixels in Python.
3. Few large pictures are decoded at the same time, as each takes up to 300 MiB.
4. The pixels are written anew as WebP, upright, at most 1600 pixels a side and in colours of sRGB; without loss where
   that is smaller, or the picture is small, as pixel art is. Metadata (where a photo was taken, too) and whatever hid
   behind the picture's end stay behind.
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
ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")  # a JPEG's further pictures (MPO) are previews and depth maps, not frames
MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 25_000_000
MAX_SIDE = 8000
MAX_FRAMES = 1_000
MAX_ANIMATION_PIXELS = 50_000_000  # frames × pixels: about a second's decoding
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS  # scans × pixels: a progressive JPEG has about ten, and each takes 0.1 s
MAX_READS = 60_000  # of the file, by Pillow: a GIF of 5 MiB in blocks of 255 bytes takes 40,000
SMALL = 2_000_000  # pixels of a picture that does not wait for a place
AT_ONCE = 2  # large pictures that are decoded at the same time
WAIT_SECONDS = 5.0  # for a place
STORED_SIDE = 1600
QUALITY = 82
SMALL_ART = 256 * 256  # pixels, of all frames: stored without loss, as losses show when it is enlarged
FEW_COLOURS = 4_096  # of a drawing: without loss it may be smaller
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")  # ISO/IEC 23008-12
NOT_A_PICTURE = "The file is not a PNG, JPEG, WebP, GIF or AVIF image, or it is damaged."
TOO_MANY_PARTS = "The image consists of too many parts."
HEIC = "HEIC images cannot be read here. Save the image as JPEG or PNG, and try again."
MIN_FRAME_DURATION, USUAL_FRAME, MAX_FRAME_DURATION = 20, 100, 60_000  # ms; browsers show a frame of 0 ms for 100

# Pillow's own alarm only warns by default, and from 89 million pixels on. Once for the process: warnings' filters are
# not safe to change while other threads run.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
_places = threading.BoundedSemaphore(AT_ONCE)


class ImageRefused(Exception):
    """Why a picture is not accepted: `reason` is one sentence for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A WebP of our own making: its bytes, its file extension (".webp"), its size in pixels, its content's SHA-256."""

    content: bytes
    extension: str
    width: int
    height: int
    sha256: str


def reencode(body: bytes) -> Picture:
    """Return the picture in `body` as a clean WebP.

    Raises ImageRefused for whatever is not a picture, and Busy where too many are being decoded.
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
    except Exception as error:  # decoders that meet hostile bytes raise whatever they like
        raise ImageRefused(NOT_A_PICTURE) from error


class _FewReads(BytesIO):
    """The bytes of a picture, which cannot be read in more than MAX_READS pieces."""

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
    """Wait until one more picture of this size may be decoded. Raises Busy where that takes too long."""
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
    """Return the pixels that may have to be held, after rule 2, without painting anything."""
    with _opened(body) as image:
        _check_size(image)
        pixels = image.width * image.height
        if image.format not in ANIMATED:
            scans = body.count(b"\xff\xda")  # these bytes stand nowhere else in the pixels
            if scans * pixels > MAX_SCANNED_PIXELS:
                raise ImageRefused("The image has too many scans.")
        most = MAX_ANIMATION_PIXELS if _is_animated(image) else pixels
        image.verify()  # which leaves it unusable, so others open it again
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
    """Go from frame to frame, as asking a GIF for their number would read them all, be they a million."""
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
    """Decode to frames as they are stored, how long each is shown (ms), and how often (0: for ever).

    `profile` is that of a PNG; other formats have theirs in the picture that is opened.
    """
    with _opened(body) as image:
        is_still = not _is_animated(image)
        key = image.info.get("transparency")
        if isinstance(key, tuple) and image.format == "PNG" and body[24] == 16:  # bits, of which Pillow reads eight
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
    """Return the image in colours that WebP knows and no larger than is stored; without a copy where possible."""
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    plain = to_srgb.mode if to_srgb.mode in ("L", "CMYK") and image.mode in ("L", "LA", "CMYK") else "RGB"
    wanted = f"{plain}A" if image.has_transparency_data and plain != "CMYK" else plain
    if image.mode != wanted:
        image = image.convert(wanted)
    if image.mode in ("RGBA", "LA") and not to_srgb.by_tables:
        image = to_srgb(image)  # first: resizing rounds colours that are hardly visible
        to_srgb = ToSrgb(None)
    image.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
    image = to_srgb(image)
    return image.convert("RGBA" if image.mode in ("RGBA", "LA") else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return grey of 16 bits in 8, of which Pillow would cut off what is brighter, with its transparent value."""
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
    # Pillow would take metadata over from the frames.
    bare: dict[str, Any] = {"quality": QUALITY, "lossless": lossless, "exif": b"", "icc_profile": b"", "xmp": b""}
    if len(frames) == 1:
        frames[0].save(output, "WEBP", method=4, **bare)
    else:  # method 2: fifty frames take half of the six seconds that method 4 needs
        moving = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": loop}
        frames[0].save(output, "WEBP", method=2, **moving, **bare)
    return output.getvalue()
