"""Drawings as SVG elements: the few shapes that a chart is made of, and scales with round ticks.

Colours are CSS variables of the page, so that one drawing serves light and dark. Text stays text.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from edgecompress.shown import shown

INK, MUTED, GRID, SURFACE = "--ink", "--muted", "--grid", "--surface"
BASELINE, CANDIDATE = "--baseline", "--candidate"
INT8, FLOAT, OTHER, REMOVED = "--int8", "--float", "--other", "--removed"

WIDTH = 360
"""Every drawing is so wide: text of 10 units is about 9 px on a phone, and 13 px on a desktop."""
_STEPS = (1.0, 2.0, 5.0, 10.0)

Point = tuple[float, float]
"""x from the left and y from the top."""


class Stroke(NamedTuple):
    """How a line is drawn."""

    colour: str
    width: float = 1.0
    dash: str = ""
    """As stroke-dasharray: '4 3'; '' for a whole line."""


class Type(NamedTuple):
    """How a text is set."""

    colour: str = INK
    size: float = 10.0
    anchor: str = "start"
    """start, middle or end: which part of the text its place is."""
    bold: bool = False


SMALL = Type(MUTED, 9.0)


class Drawing:
    """Shapes, one over the other, in a box of `WIDTH` x `height`."""

    def __init__(self, height: float) -> None:
        self.height = height
        self._shapes: list[str] = []

    def line(self, points: Sequence[Point], stroke: Stroke) -> None:
        """From point to point."""
        dash = f";stroke-dasharray:{stroke.dash}" if stroke.dash else ""
        style = f"fill:none;stroke:var({stroke.colour});stroke-width:{_number(stroke.width)}{dash}"
        self._shapes.append(f'<polyline points="{_places(points)}" style="{style}"/>')

    def area(self, points: Sequence[Point], colour: str) -> None:
        """What is inside of the points."""
        style = f"fill:var({colour})"
        self._shapes.append(f'<polygon points="{_places(points)}" style="{style}"/>')

    def bar(self, corner: Point, width: float, height: float, colour: str) -> None:
        """A box, from its upper left corner."""
        x, y = map(_number, corner)
        size = f'width="{_number(max(width, 0))}" height="{_number(max(height, 0))}"'
        self._shapes.append(f'<rect x="{x}" y="{y}" {size} style="fill:var({colour})"/>')

    def dot(self, centre: Point, radius: float, colour: str, *, hollow: bool = False) -> None:
        x, y = map(_number, centre)
        fill, edge = (SURFACE, colour) if hollow else (colour, SURFACE)
        style = f"fill:var({fill});stroke:var({edge});stroke-width:1.2"
        circle = f'<circle cx="{x}" cy="{y}" r="{_number(radius)}" style="{style}"/>'
        self._shapes.append(circle)

    def text(self, place: Point, text: str, how: Type = SMALL) -> None:
        """One line; y is where letters stand."""
        x, y = map(_number, place)
        weight = ";font-weight:650" if how.bold else ""
        style = (
            f"fill:var({how.colour});font-size:{_number(how.size)}px;text-anchor:{how.anchor}"
            f"{weight}"
        )
        self._shapes.append(
            f'<text x="{x}" y="{y}" style="{style}">{escape(shown(text), quote=False)}</text>'
        )

    def svg(self, chart_id: str, title: str, description: str) -> str:
        """The element, which scales with the page and is read out as `title` and `description`."""
        title_id, text_id = f"{chart_id}-title", f"{chart_id}-text"
        return "".join((
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_number(self.height)}"'
            f' id="{chart_id}" role="img" aria-labelledby="{title_id}"'
            f' aria-describedby="{text_id}">',
            f'<title id="{title_id}">{escape(shown(title), quote=False)}</title>',
            f'<desc id="{text_id}">{escape(shown(description), quote=False)}</desc>',
            *self._shapes,
            "</svg>",
        ))  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """From the values `low` to `high` to the places `start` to `end` of an axis."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._plain(self.low), self._plain(self.high)
        share = 0.5 if high == low else (self._plain(value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """At most so many round values from low to high."""
        if self.logarithmic:
            return _decades(self.low, self.high, most)
        span = self.high - self.low
        if not span > 0 or not math.isfinite(span):
            return [self.low]
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(power * step for step in _STEPS if span / (power * step) <= most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    def _plain(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def label(value: float) -> str:
    """A tick's value: '0.25', '1,500', '2.5e+06'."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.6g}"


def spread(values: Iterable[float], least: float, margin: float = 0.08) -> tuple[float, float]:
    """The ends of an axis that shows all the values with some room, and is at least so long: else
    the smallest difference would look like a cliff.
    """
    known = list(values)
    low, high = min(known), max(known)
    room = max((high - low) * margin, (least - (high - low)) / 2, 0.0)
    if not room:
        room = abs(high) * margin if high else 1.0
    return low - room, high + room


def _decades(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 5), (1,)):
        found = [step * 10.0**power for power in powers for step in steps]
        found = [value for value in found if low <= value <= high]
        if len(found) <= most:
            break
    return found


def _places(points: Sequence[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """To a hundredth, which no screen shows."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
