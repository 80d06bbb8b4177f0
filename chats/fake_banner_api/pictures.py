"""The pictures of the local banner API: landscapes in a few colours with a promotion on them, drawn on demand.

Everything is drawn at twice its size and halved at the end, which makes smooth edges. The same number gives the same
picture, in well under 150 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from random import Random

from PIL import Image, ImageColor, ImageDraw, ImageFont

WIDTH, HEIGHT = 1200, 675
FINE = 2  # drawn so much larger
W, H = WIDTH * FINE, HEIGHT * FINE
MARGIN = 150

Colour = tuple[int, int, int]
Pencil = ImageDraw.ImageDraw
Curve = Callable[[float], float]


@dataclass(frozen=True)
class Palette:
    """The sky from top to horizon, the sun or moon, the land from far to near, and the words."""

    sky: tuple[str, str]
    light: str
    far: str
    near: str
    ink: str


@dataclass(frozen=True)
class Promotion:
    """What a banner says: a headline, a line below it, and the words on its button."""

    headline: str
    line: str
    button: str


PALETTES = (
    Palette(("#272a66", "#f58a6c"), "#ffd9a0", "#c4567c", "#24173f", "#ffffff"),  # sunrise
    Palette(("#cfeee3", "#f7fbf2"), "#ff9f5a", "#a9dccb", "#0f625c", "#0b4744"),  # mint
    Palette(("#0a1238", "#4258ad"), "#f8f0cf", "#3a4d98", "#0a1030", "#ffffff"),  # night
    Palette(("#fff0e0", "#ffcbb4"), "#ff7152", "#f6a98f", "#7a2e45", "#5b1f36"),  # peach
    Palette(("#a9dcfb", "#f0faff"), "#ffc83d", "#86c9ea", "#0b4f82", "#083a63"),  # ocean
    Palette(("#35165a", "#c4568f"), "#ffc56e", "#97408a", "#200b3a", "#ffffff"),  # plum
    Palette(("#e2efc6", "#fcf8e3"), "#f0962e", "#b5d08c", "#23523a", "#1d4030"),  # meadow
    Palette(("#c63d55", "#ffb083"), "#fff0c4", "#d9526a", "#5b1846", "#ffffff"),  # coral
)

PROMOTIONS = (
    Promotion("Weekend sale", "Up to 40% off, until Sunday night", "Shop now"),
    Promotion("Free shipping", "On every order, all week long", "Order today"),
    Promotion("Night owls save", "Late prices between ten and two", "Stay up"),
    Promotion("City breaks", "Two nights from 89, breakfast included", "Pick a city"),
    Promotion("Up, up and away", "Flights for summer are on sale", "Find a seat"),
    Promotion("We turn ten", "Our birthday, and a present for you", "Open it"),
    Promotion("Warm days ahead", "The spring collection has arrived", "Have a look"),
    Promotion("Fresh by design", "A new look for your living room", "See the room"),
    Promotion("Hello, autumn", "Jackets and jumpers at 30% off", "Get cosy"),
    Promotion("Sea you soon", "Beach houses with late availability", "Dive in"),
    Promotion("Peak season", "Everything for the trail, one price", "Gear up"),
    Promotion("Open till late", "Our shops welcome you until eleven", "Find a shop"),
    Promotion("Gift cards", "For everyone who has everything", "Give one"),
    Promotion("Members' day", "Double points on all you buy", "Join free"),
    Promotion("Slow travel", "See more of the world by train", "All aboard"),
    Promotion("Less, but better", "The essentials, made to last", "Discover"),
    Promotion("Early bird", "Book before March and save 25%", "Book early"),
    Promotion("Clean waters", "One percent of each order helps", "Take part"),
    Promotion("Winter sun", "Swap your coat for a deck chair", "Warm up"),
    Promotion("Lights on", "Smart lamps, two for one", "Brighten up"),
    Promotion("Summer festival", "Music, food and friends in the park", "Get tickets"),
    Promotion("Bring a friend", "Ten for them, and ten for you", "Invite"),
    Promotion("New horizons", "Our app has a brand new home", "Update"),
    Promotion("Back to school", "Bags, books and bright ideas", "Pack up"),
)
NUMBER_OF_PICTURES = len(PROMOTIONS)


@lru_cache(maxsize=NUMBER_OF_PICTURES)
def picture(number: int) -> bytes:
    """Return picture `number`, 1 to NUMBER_OF_PICTURES, as a JPEG of 1200 × 675. Raises IndexError beyond."""
    if not 1 <= number <= NUMBER_OF_PICTURES:
        raise IndexError(number)
    index = number - 1
    palette = PALETTES[(index + 3 * (index // len(SCENES))) % len(PALETTES)]
    canvas = _sky(palette)
    pencil = ImageDraw.Draw(canvas, "RGBA")
    scene = SCENES[index % len(SCENES)]
    scene(canvas, pencil, palette, Random(number))
    _words(pencil, palette, PROMOTIONS[index], top=450 if scene in WITHOUT_LAND else 125)
    output = BytesIO()
    canvas.reduce(FINE).save(output, "JPEG", quality=90)
    return output.getvalue()


# --- Colours and curves -------------------------------------------------------------------------


def _rgb(colour: str) -> Colour:
    red, green, blue, *_ = ImageColor.getrgb(colour)
    return red, green, blue


def _mix(one: str, other: str, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(_rgb(one), _rgb(other), strict=True))
    return red, green, blue


def _sky(palette: Palette) -> Image.Image:
    two = Image.new("RGB", (1, 2))
    two.putpixel((0, 0), _rgb(palette.sky[0]))
    two.putpixel((0, 1), _rgb(palette.sky[1]))
    # Half of the first and of the last pixel are flat: cut off, so that the colours run from edge to edge.
    return two.resize((1, H), Image.Resampling.BILINEAR, box=(0, 0.4, 1, 1.4)).resize((W, H))


def _glow(canvas: Image.Image, palette: Palette, x: int, y: int, radius: int, strength: float) -> None:
    """Light that fades with the distance from its middle."""
    fading = Image.radial_gradient("L").resize((radius * 2, radius * 2))
    fading = fading.point([round(255 * strength * max(0, 1 - level / 180) ** 2) for level in range(256)])
    canvas.paste(_rgb(palette.light), (x - radius, y - radius), fading)


def _disc(pencil: Pencil, x: float, y: float, radius: float, colour: Colour, alpha: int = 255) -> None:
    pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, alpha))


def _sun(canvas: Image.Image, pencil: Pencil, palette: Palette, x: int, y: int, radius: int) -> None:
    _glow(canvas, palette, x, y, radius * 5, 0.9)
    _disc(pencil, x, y, radius, _rgb(palette.light))


def _land(pencil: Pencil, curve: Curve, colour: Colour, step: int = 8) -> None:
    """Fill everything below the curve."""
    edge = [(x, curve(x)) for x in range(0, W + step, step)]
    pencil.polygon([*edge, (W, H), (0, H)], fill=colour)


def _rolling(chance: Random, level: float, height: float) -> Curve:
    """A curve of two waves around `level`."""
    long, short = chance.uniform(0.0016, 0.0026), chance.uniform(0.004, 0.006)
    start, shift = chance.uniform(0, 6), chance.uniform(0, 6)
    return lambda x: level + height * (math.sin(x * long + start) + 0.35 * math.sin(x * short + shift))


# --- Scenes -------------------------------------------------------------------------------------


def _hills(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    _sun(canvas, pencil, palette, int(W * chance.uniform(0.68, 0.8)), int(H * 0.42), 150)
    for layer in range(5):
        curve = _rolling(chance, H * (0.62 + layer * 0.09), 70 - layer * 6)
        _land(pencil, curve, _mix(palette.far, palette.near, layer / 4))


def _sea(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    x = int(W * chance.uniform(0.7, 0.8))
    _sun(canvas, pencil, palette, x, int(H * 0.56), 190)
    for layer in range(6):
        level, length = H * (0.62 + layer * 0.068), 300 + layer * 70
        start = chance.uniform(0, 6)
        colour = _mix(palette.far, palette.near, layer / 5)

        def crests(x: float, level: float = level, length: float = length, start: float = start) -> float:
            return level - 34 * abs(math.sin(x * math.pi / length + start)) ** 0.8

        _land(pencil, crests, colour)


def _mountains(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    for _ in range(90):
        x, y = chance.uniform(0, W), chance.uniform(0, H * 0.55)
        _disc(pencil, x, y, chance.uniform(1.5, 4), _rgb(palette.light), chance.randint(60, 190))
    _sun(canvas, pencil, palette, int(W * 0.83), int(H * 0.2), 95)
    for layer in range(3):
        base = H * (0.98 + layer * 0.03)
        colour = _mix(palette.far, palette.near, layer / 2)
        for number in range(5):
            x = W * (0.06 + number * 0.24 + layer * 0.11) + chance.uniform(-90, 90)
            height = H * chance.uniform(0.34, 0.5) * (1 - layer * 0.27)
            _peak(pencil, x, base, height, colour, _mix(palette.far, "#ffffff", 0.75) if layer == 0 else None)


def _peak(pencil: Pencil, x: float, base: float, height: float, colour: Colour, snow: Colour | None) -> None:
    slope = 1.15
    top = base - height
    pencil.polygon([(x, top), (x + height * slope, base), (x - height * slope, base)], fill=colour)
    if snow is None:
        return
    cap = height * 0.24
    zigzag = [(0.55, 1.0), (0.25, 0.72), (0.0, 1.05), (-0.3, 0.74), (-0.6, 1.0)]
    edge = [(x + share * cap * slope * 1.0, top + cap * depth) for share, depth in zigzag]
    right, left = (x + cap * slope, top + cap), (x - cap * slope, top + cap)
    pencil.polygon([(x, top), right, *edge, left], fill=snow)


def _city(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    _sun(canvas, pencil, palette, int(W * 0.8), int(H * 0.3), 120)
    for layer in range(3):
        x, colour = -40.0, _mix(palette.far, palette.near, layer / 2)
        while x < W:
            width = chance.randint(110, 210)
            rise = 1 - 0.35 * math.exp(-(((x - W * 0.2) / (W * 0.3)) ** 2))  # lower where the words are
            top = H - H * chance.uniform(0.24, 0.52) * rise * (1 - layer * 0.24)
            pencil.rectangle((x, top, x + width, H), fill=colour)
            if layer:
                _windows(pencil, palette, chance, x, top, width)
            x += width + chance.choice((0, 0, 16, 40))


def _windows(pencil: Pencil, palette: Palette, chance: Random, x: float, top: float, width: int) -> None:
    columns = width // 36
    left = x + (width - columns * 36 + 18) / 2
    for column in range(columns):
        for row in range(int((H - top) // 46)):
            if chance.random() < 0.42:
                corner = left + column * 36, top + 26 + row * 46
                light = (*_rgb(palette.light), chance.choice((90, 150, 230)))
                pencil.rectangle((*corner, corner[0] + 17, corner[1] + 23), fill=light)


def _balloons(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    _glow(canvas, palette, int(W * 0.72), int(H * 0.75), 1100, 0.7)
    for layer in range(3):
        curve = _rolling(chance, H * (0.8 + layer * 0.07), 46)
        _land(pencil, curve, _mix(palette.far, palette.near, 0.15 + layer * 0.35))
    for x, y, size in ((0.86, 0.26, 1.0), (0.66, 0.44, 0.62), (0.94, 0.58, 0.42)):
        _balloon(pencil, palette, W * x, H * y + chance.uniform(-30, 30), 190 * size)


def _balloon(pencil: Pencil, palette: Palette, x: float, y: float, radius: float) -> None:
    rope = (*_rgb(palette.near), 200)
    for side in (-1, 1):
        pencil.line((x + side * radius * 0.5, y + radius * 0.9, x + side * radius * 0.13, y + radius * 1.6), rope, 4)
    envelope = [(x - radius * 0.86, y + radius * 0.5), (x + radius * 0.86, y + radius * 0.5)]
    bottom = [(x + radius * 0.2, y + radius * 1.32), (x - radius * 0.2, y + radius * 1.32)]
    stripes = [_rgb(palette.light), _mix(palette.light, palette.near, 0.45), _rgb(palette.light)]
    for share, colour in zip((1.0, 0.62, 0.24), stripes, strict=True):
        pencil.ellipse((x - radius * share, y - radius, x + radius * share, y + radius), fill=colour)
        points = [(x + (px - x) * share, py) for px, py in [*envelope, *bottom]]
        pencil.polygon(points, fill=colour)
    basket = (x - radius * 0.17, y + radius * 1.56, x + radius * 0.17, y + radius * 1.82)
    pencil.rounded_rectangle(basket, radius * 0.05, fill=_rgb(palette.near))


def _party(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    _glow(canvas, palette, int(W * 0.8), int(H * 0.5), 1200, 0.6)
    colours = [_rgb(palette.light), _rgb(palette.far), _mix(palette.light, "#ffffff", 0.5), _rgb(palette.near)]
    for _ in range(34):
        x = W * (1 - 0.48 * chance.random() ** 1.2)
        _disc(pencil, x, chance.uniform(0, H), chance.uniform(24, 150), chance.choice(colours), chance.randint(40, 110))
    for _ in range(120):
        x, y, turn = W * (1 - 0.5 * chance.random() ** 1.2), chance.uniform(0, H), chance.uniform(0, math.pi)
        along, across = (math.cos(turn), math.sin(turn)), (-math.sin(turn) * 0.4, math.cos(turn) * 0.4)
        corners = [(a, b) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        size = chance.uniform(10, 22)
        paper = [
            (x + size * (a * along[0] + b * across[0]), y + size * (a * along[1] + b * across[1])) for a, b in corners
        ]
        pencil.polygon(paper, fill=chance.choice(colours))


def _dunes(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    _sun(canvas, pencil, palette, int(W * 0.78), int(H * 0.36), 130)
    for layer in range(4):
        share = layer / 3
        level, x = H * (0.66 + layer * 0.1), W * chance.uniform(0.45, 0.9)
        _dune(pencil, x, level, _mix(palette.far, palette.near, share * 0.8), _mix(palette.far, palette.near, share))


def _dune(pencil: Pencil, crest: float, level: float, lit: Colour, shaded: Colour) -> None:
    """A ridge that rises to `crest` and falls again: the sunny side, and the shaded one over it."""

    def ridge(x: float) -> float:
        return level + 210 * (1 - math.exp(-(((x - crest) / 900) ** 2)))

    _land(pencil, ridge, lit)
    falling = [(x, ridge(x)) for x in range(int(crest), W + 8, 8)]
    back = [(crest - 260 * math.sin(t / 10 * math.pi), level + (H - level) * t / 10) for t in range(10, 0, -1)]
    pencil.polygon([(crest, level), *falling, (W, H), *back], fill=shaded)


def _tiles(canvas: Image.Image, pencil: Pencil, palette: Palette, chance: Random) -> None:
    side = H // 5
    colours = [_rgb(palette.light), _rgb(palette.far), _rgb(palette.near), _mix(palette.far, palette.near, 0.5)]
    for column in range(3):
        for row in range(5):
            x, y = W - side * (3 - column), row * side
            ground, figure = chance.sample(colours, 2)
            pencil.rectangle((x, y, x + side, y + side), fill=ground)
            _tile(pencil, chance, x, y, side, figure)


def _tile(pencil: Pencil, chance: Random, x: int, y: int, side: int, colour: Colour) -> None:
    kind = chance.choice(("quarter", "quarter", "disc", "triangle", "half"))
    if kind == "disc":
        _disc(pencil, x + side / 2, y + side / 2, side * 0.32, colour)
    elif kind == "triangle":
        pencil.polygon([(x, y + side), (x + side, y + side), (x + side, y)], fill=colour)
    elif kind == "half":
        pencil.pieslice((x, y - side / 2, x + side, y + side / 2), 0, 180, fill=colour)
    else:
        turn = chance.randrange(4)
        left, top = x - side * (turn in (0, 3)), y - side * (turn in (0, 1))
        pencil.pieslice((left, top, left + 2 * side, top + 2 * side), turn * 90, turn * 90 + 90, fill=colour)


SCENES = (_hills, _sea, _mountains, _city, _balloons, _party, _dunes, _tiles)
WITHOUT_LAND = (_party, _tiles)  # there, words stand in the middle


# --- Words --------------------------------------------------------------------------------------


def _words(pencil: Pencil, palette: Palette, promotion: Promotion, top: int) -> None:
    ink = _rgb(palette.ink)
    # The bundled font has one weight: an outline of its own colour makes it bold.
    pencil.text((MARGIN, top + 140), promotion.headline, ink, _font(168), anchor="ls", stroke_width=4)
    pencil.text((MARGIN + 4, top + 254), promotion.line, ink, _font(60), anchor="ls", stroke_width=0.5)
    words = _font(52)
    width = pencil.textlength(promotion.button, words)
    button = (MARGIN + 4, top + 336, MARGIN + 4 + width + 110, top + 448)
    pencil.rounded_rectangle(button, 56, fill=ink)
    paper = _rgb(palette.near if palette.ink == "#ffffff" else palette.sky[1])
    middle = (button[0] + button[2]) / 2, (button[1] + button[3]) / 2
    pencil.text(middle, promotion.button, paper, words, anchor="mm", stroke_width=1)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
