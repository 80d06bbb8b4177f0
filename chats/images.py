"""Vet and re-encode: no byte of a stranger's picture is ever stored or served, only what we painted after it.

1. Only PNG, JPEG, WebP and GIF are opened, whatever the name or the content type says. SVG is a program: refused.
2. Size, pixels, scans and frames are looked at before anything is decoded; frames are counted no further than the
   limit. A file of very many small parts is refused: Pillow reads what lies around the pixels in Python.
3. Few large pictures are decoded at the same time, as each takes up to 300 MiB.
4. The pixels are written anew as WebP, upright and at most 1600 pixels a side. Metadata (where a photo was taken,
   too) and whatever hid behind the picture's end stay behind.
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

from PIL import Image, ImageOps, ImageSequence

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
ANIMATED = ("PNG", "WEBP", "GIF")  # a JPEG's further pictures (MPO) are previews and depth maps, not frames
LARGEST_BODY = 5 * 1024 * 1024
MOST_PIXELS = 25_000_000
LONGEST_SIDE = 8000
MOST_FRAMES = 50
MOST_MOVING_PIXELS = 50_000_000  # frames × pixels: about a second's decoding
MOST_SCANNED_PIXELS = 20 * MOST_PIXELS  # scans × pixels: a progressive JPEG has about ten, and each takes 0.1 s
MOST_READS = 60_000  # of the file, by Pillow: a GIF of 5 MiB in blocks of 255 bytes takes 40,000
SMALL = 2_000_000  # pixels of a picture that does not wait for a place
AT_ONCE = 2  # large pictures that are decoded at the same time
WAIT_SECONDS = 5.0  # for a place
STORED_SIDE = 1600
QUALITY = 82
SHORTEST_FRAME, USUAL_FRAME, LONGEST_FRAME = 20, 100, 60_000  # ms; browsers show a frame of 0 ms for 100

# Pillow's own alarm only warns by default, and from 89 million pixels on. Once for the process: warnings' filters are
# not safe to change while other threads run.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
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
    """Return the picture in `body` as a clean WebP. Raises ImageRefused, and nothing else, for whatever is none."""
    if len(body) > LARGEST_BODY:
        raise ImageRefused(f"The image is larger than {LARGEST_BODY // 1024 // 1024} MiB.")
    try:
        with _place_for(_size_of(body)):
            _vet_frames(body)
            frames, durations, loop = _frames(body)
            return _painted(frames, durations, loop)
    except ImageRefused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except Exception as error:  # decoders that meet hostile bytes raise whatever they like
        raise ImageRefused("The file is not a PNG, JPEG, WebP or GIF image, or it is damaged.") from error


class _FewReads(BytesIO):
    """The bytes of a picture, which cannot be read in more than MOST_READS pieces."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._left = MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ImageRefused("The image consists of too many parts.")
        return super().read(size)


def _opened(body: bytes) -> Image.Image:
    return Image.open(_FewReads(body), formats=FORMATS)


@contextlib.contextmanager
def _place_for(pixels: int) -> Iterator[None]:
    """Wait until one more picture of this size may be decoded. Raises ImageRefused where that takes too long."""
    if pixels <= SMALL:
        yield
        return
    if not _places.acquire(timeout=WAIT_SECONDS):
        raise ImageRefused("Several other large images are being processed. Please try again in a moment.")
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
            if scans * pixels > MOST_SCANNED_PIXELS:
                raise ImageRefused("The image has too many scans.")
        most = MOST_MOVING_PIXELS if _is_animated(image) else pixels
        image.verify()  # which leaves it unusable, so others open it again
    return most


def _vet_frames(body: bytes) -> None:
    with _opened(body) as image:
        if _is_animated(image):
            _check_frames(image)


def _is_animated(image: Image.Image) -> bool:
    return image.format in ANIMATED and bool(getattr(image, "is_animated", False))


def _check_size(image: Image.Image) -> None:
    if max(image.size) > LONGEST_SIDE or image.width * image.height > MOST_PIXELS:
        raise _too_large()


def _too_large() -> ImageRefused:
    return ImageRefused(
        f"The image has more than {MOST_PIXELS // 1_000_000} million pixels, or more than {LONGEST_SIDE} a side."
    )


def _check_frames(image: Image.Image) -> None:
    """Go from frame to frame, as asking a GIF for their number would read them all, be they a million."""
    for number in range(MOST_FRAMES + 1):
        try:
            image.seek(number)
        except EOFError:
            return
        _check_size(image)  # a later frame of a GIF may enlarge it
        if (number + 1) * image.width * image.height > MOST_MOVING_PIXELS:
            raise ImageRefused(f"The animation has more than {MOST_MOVING_PIXELS // 1_000_000} million pixels in all.")
    raise ImageRefused(f"The animation has more than {MOST_FRAMES} frames.")


def _frames(body: bytes) -> tuple[list[Image.Image], list[int], int]:
    """Decode to frames of the size they are stored in, how long each is shown (ms), and how often (0: for ever)."""
    with _opened(body) as image:
        if not _is_animated(image):
            image.draft("RGB", (STORED_SIDE, STORED_SIDE))  # a large JPEG is decoded at half its size or less
            still = _fitted(image)
            ImageOps.exif_transpose(still, in_place=True)
            return [still], [0], 0
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(_fitted(frame.copy()))
            shown = int(frame.info.get("duration") or USUAL_FRAME)
            durations.append(min(max(shown, SHORTEST_FRAME), LONGEST_FRAME))
        return frames, durations, int(image.info.get("loop", 1))


def _fitted(image: Image.Image) -> Image.Image:
    """Return the image in colours that WebP knows and no larger than is stored; without a copy where possible."""
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would cut off what is brighter than 8 bits
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    wanted = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode != wanted:
        image = image.convert(wanted)
    image.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS)
    return image


def _painted(frames: list[Image.Image], durations: list[int], loop: int) -> Picture:
    output = BytesIO()
    # Pillow would take metadata over from the frames.
    bare: dict[str, Any] = {"quality": QUALITY, "exif": b"", "icc_profile": b"", "xmp": b""}
    if len(frames) == 1:
        frames[0].save(output, "WEBP", method=4, **bare)
    else:  # method 2: fifty frames take half of the six seconds that method 4 needs
        moving = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": loop}
        frames[0].save(output, "WEBP", method=2, **moving, **bare)
    content = output.getvalue()
    return Picture(content, ".webp", *frames[0].size, hashlib.sha256(content).hexdigest())
