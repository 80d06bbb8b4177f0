"""Pictures of the fake banner API: a promotion's text on a gradient, drawn on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

SIZE = (1200, 675)
LEFT, MIDDLE = 90, 330
COLOURS = (
    "#272a66 #f58a6c",
    "#0f625c #7fd1ae",
    "#0a1238 #4258ad",
    "#7a2e45 #ff9a7a",
    "#0b4f82 #57b6e8",
    "#35165a #c4568f",
)


@dataclass(frozen=True)
class Promotion:
    """The text of a banner: a headline, a line below it, and the label of its button."""

    headline: str
    line: str
    button: str


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
    """Return picture `number`, 1 to NUMBER_OF_PICTURES, as a JPEG of 1200 × 675 pixels. Raises IndexError otherwise."""
    if not 1 <= number <= NUMBER_OF_PICTURES:
        raise IndexError(number)
    promotion = PROMOTIONS[number - 1]
    dark, bright = COLOURS[number % len(COLOURS)].split()
    canvas = ImageOps.colorize(Image.linear_gradient("L").resize(SIZE), dark, bright)
    draw = ImageDraw.Draw(canvas)
    draw.text((LEFT, MIDDLE), promotion.headline, "white", _font(96), anchor="ls", stroke_width=2)
    draw.text((LEFT, MIDDLE + 70), promotion.line, "white", _font(36), anchor="ls")
    right = LEFT + 60 + draw.textlength(promotion.button, _font(30))
    draw.rounded_rectangle((LEFT, MIDDLE + 120, right, MIDDLE + 184), 32, "white")
    draw.text((LEFT + 30, MIDDLE + 152), promotion.button, ImageColor.getrgb(dark), _font(30), anchor="lm")
    file = BytesIO()
    canvas.save(file, "JPEG", quality=88)
    return file.getvalue()


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
