"""The metric against latency: stages, candidates of a race, and earlier runs in one chart."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from edgecompress.report.svg import (
    BASELINE,
    CANDIDATE,
    GRID,
    INK,
    MUTED,
    SMALL,
    SURFACE,
    WIDTH,
    Drawing,
    Point,
    Scale,
    Stroke,
    Type,
    label,
    spread,
)

Kind = Literal["original", "stage", "candidate", "shipped", "earlier"]
_COLOURS: dict[Kind, str] = {
    "original": BASELINE,
    "stage": MUTED,
    "candidate": MUTED,
    "shipped": CANDIDATE,
    "earlier": CANDIDATE,
}
LEAST_OF_SHARE = 0.1
"""An axis of a metric between 0 and 1 is at least ten points long."""
LEAST_OF_OTHERS = 0.1
"""The same for another metric, as a share of its largest value."""
LOGARITHMIC_FROM = 8
"""Slowest over fastest, beyond which a linear axis would show the fast ones as one."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, WIDTH - 14.0, 16.0, 190.0
_RADII = (5.5, 9.0)


class Interval(NamedTuple):
    low: float
    high: float


class Dot(NamedTuple):
    """One model: where it lies, and how surely."""

    name: str
    kind: Kind
    metric: float
    latency_ms: float | None
    macs: int = 0
    size_bytes: int | None = None
    metric_interval: Interval | None = None
    latency_interval: Interval | None = None
    note: str = ""


class Placed(NamedTuple):
    """A dot, its number in the chart, and its value on the horizontal axis."""

    dot: Dot
    number: int
    x: float


class Tradeoff(NamedTuple):
    by_latency: bool
    """Else by MACs: not all were measured."""
    description: str
    drawing: Drawing


def tradeoff(dots: Sequence[Dot], metric: str, *, is_share: bool) -> Tradeoff:
    """Dots with whiskers, numbered in the order given; earlier runs are hollow, without a number.

    A dot's area goes with the file's size. The axis of the metric is never so short that a
    difference of a few tenths of a point looks like a cliff.
    """
    by_latency = all(dot.latency_ms is not None for dot in dots if dot.kind != "earlier")
    placed = [
        Placed(dot, number, x)
        for number, dot in enumerate(dots, start=1)
        if (x := dot.latency_ms if by_latency else dot.macs / 1e6) is not None and x > 0
    ]
    drawing = Drawing(224)
    xs, ys = _axes(placed, is_share=is_share)
    _frame(drawing, xs, ys)
    drawing.text((0, 8), metric)
    what = "latency p50, ms" if by_latency else "MACs, million"
    ends = " (logarithmic)" if xs.logarithmic else ""
    drawing.text((_RIGHT, 218), what + ends, SMALL._replace(anchor="end"))
    _dots(drawing, placed, xs, ys)
    unit = "ms" if by_latency else "M MACs"
    described = "; ".join(
        f"{number} {dot.name}: {dot.metric:.4g} at {x:.3g} {unit}" for dot, number, x in placed
    )
    return Tradeoff(by_latency, described, drawing)


def _axes(placed: Sequence[Placed], *, is_share: bool) -> tuple[Scale, Scale]:
    values = [
        value
        for dot, _, _ in placed
        for value in (dot.metric, *(dot.metric_interval or (dot.metric,)))
    ]
    least = LEAST_OF_SHARE if is_share else LEAST_OF_OTHERS * max(map(abs, values), default=1.0)
    low, high = spread(values or [0.0], least)
    if is_share and max(values, default=0.0) <= 1:
        # No room above all that there is to reach.
        low, high = low - max(high - 1.0, 0.0), min(high, 1.0)
    places = [x for _, _, x in placed] or [1.0]
    if max(places) > LOGARITHMIC_FROM * min(places):
        ends = min(places) / 1.3, max(places) * 1.3
        return Scale(*ends, _LEFT, _RIGHT, logarithmic=True), Scale(low, high, _BOTTOM, _TOP)
    return Scale(0.0, max(places) * 1.08, _LEFT, _RIGHT), Scale(low, high, _BOTTOM, _TOP)


def _frame(drawing: Drawing, xs: Scale, ys: Scale) -> None:
    for tick in ys.ticks():
        drawing.line([(_LEFT, ys(tick)), (_RIGHT, ys(tick))], Stroke(GRID))
        drawing.text((_LEFT - 5, ys(tick) + 3), label(tick), SMALL._replace(anchor="end"))
    drawing.line([(_LEFT, _BOTTOM), (_RIGHT, _BOTTOM)], Stroke(MUTED))
    for tick in xs.ticks():
        drawing.line([(xs(tick), _BOTTOM), (xs(tick), _BOTTOM + 3)], Stroke(MUTED))
        drawing.text((xs(tick), _BOTTOM + 13), label(tick), SMALL._replace(anchor="middle"))


def _dots(drawing: Drawing, placed: Sequence[Placed], xs: Scale, ys: Scale) -> None:
    """What is furthest back first: earlier runs, the way from the original, then the models."""
    stages = [
        (xs(x), ys(dot.metric))
        for dot, _, x in placed
        if dot.kind in ("original", "stage", "shipped")
    ]
    sizes = [dot.size_bytes for dot, _, _ in placed if dot.size_bytes is not None]
    largest = max(sizes, default=0)
    for dot, _, x in placed:
        if dot.kind == "earlier":
            drawing.dot((xs(x), ys(dot.metric)), 4, _COLOURS[dot.kind], hollow=True)
    drawing.line(stages, Stroke(GRID, 1.4))
    order = sorted(placed, key=lambda each: each.dot.kind == "shipped")
    for dot, number, x in order:
        if dot.kind == "earlier":
            continue
        centre: Point = (xs(x), ys(dot.metric))
        colour = _COLOURS[dot.kind]
        _whiskers(drawing, dot, (xs, ys), centre)
        drawing.dot(centre, _radius(dot.size_bytes, largest), colour)
        how = Type(SURFACE, 9, "middle", bold=True)
        drawing.text((centre[0], centre[1] + 3.2), str(number), how)


def _whiskers(drawing: Drawing, dot: Dot, scales: tuple[Scale, Scale], centre: Point) -> None:
    xs, ys = scales
    x, y = centre
    stroke = Stroke(INK, 1.0)
    if dot.metric_interval is not None:
        drawing.line([(x, ys(end)) for end in dot.metric_interval], stroke)
    if dot.latency_interval is not None and dot.latency_ms is not None:
        drawing.line([(xs(end), y) for end in dot.latency_interval if end > 0], stroke)


def _radius(size_bytes: int | None, largest: int) -> float:
    small, large = _RADII
    if size_bytes is None or not largest:
        return 7.0
    # The area of a circle, and not its radius, is what is seen as its size.
    return small + (large - small) * float((size_bytes / largest) ** 0.5)
