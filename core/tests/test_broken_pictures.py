"""Thousands of damaged pictures: each is refused with a sentence or decoded, within limits of memory."""

import resource
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from core.images.conversion import ImageRefused, reencode
from core.tests.broken_pictures import SOUND, broken

PROJECT = Path(__file__).resolve().parents[2]
MEMORY = 2 * 1024**3
OUTSIDE = """
import sys
from core.images.conversion import ImageRefused, reencode
from core.tests.broken_pictures import SOUND, broken
for name in SOUND:
    for case in broken(name):
        try:
            reencode(case.body)
        except ImageRefused:
            pass
print("all of them")
"""


def outcome(body: bytes) -> Image.Image | None:
    try:
        picture = reencode(body)
    except ImageRefused as refused:
        assert refused.reason.endswith(".") and len(refused.reason) < 120
        return None
    image = Image.open(BytesIO(picture.content), formats=["WEBP"])
    assert image.size == (picture.width, picture.height)
    return image.convert("RGB")


def difference(one: Image.Image, two: Image.Image) -> float:
    if one.size != two.size:
        return 255.0
    return max(ImageStat.Stat(ImageChops.difference(one, two)).mean)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_picture_is_accepted(name):
    assert outcome(SOUND[name]()) is not None


@pytest.mark.parametrize("name", SOUND)
def test_every_damage_is_refused_or_leaves_a_picture_and_what_is_left_of_a_cut_one_is_right(name):
    right = outcome(SOUND[name]())
    assert right is not None
    cases = list(broken(name))
    wrong = []
    for case in cases:
        found = outcome(case.body)
        if found is not None and case.is_cut and difference(found, right) > 3:
            wrong.append(case.how)

    assert wrong == []
    assert len(cases) >= 60


@pytest.mark.thorough
def test_no_damage_takes_more_than_two_gibibytes_or_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE],
        cwd=PROJECT, capture_output=True, text=True, timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "all of them\n"), done.stderr[-2_000:]
