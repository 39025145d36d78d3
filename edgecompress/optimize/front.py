"""Which trials nothing beats, in which order they are worth going on with, and what each method
gave.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edgecompress.optimize.plan import Outcome, Tried
from edgecompress.spec.deploy import Budgets, excess_drop


class Point(NamedTuple):
    """Both are the smaller the better."""

    loss: float
    """How much of the baseline's metric is lost; negative where it is better."""
    log_ms: float


@dataclass(frozen=True)
class Aims:
    """What trials are held against."""

    baseline: float
    """The metric of the original on the validation data."""
    higher_is_better: bool
    budgets: Budgets

    def loss(self, metric: float) -> float:
        return self.baseline - metric if self.higher_is_better else metric - self.baseline

    def point(self, outcome: Outcome) -> Point:
        return Point(self.loss(outcome.metric), math.log(outcome.latency_ms_p50))

    def excess(self, outcome: Outcome) -> float:
        """How much more of the metric is lost than may be; 0: it is kept."""
        metrics = self.baseline, outcome.metric
        return excess_drop(self.loss(outcome.metric), self.budgets.max_metric_drop, metrics)

    def allows(self, loss: float) -> bool:
        """Whether so much of the metric may be lost."""
        return not excess_drop(loss, self.budgets.max_metric_drop, (self.baseline, self.baseline))

    def fits(self, outcome: Outcome) -> bool:
        """Whether the budgets that its shape decides are kept."""
        budgets = self.budgets
        limits = (
            (outcome.latency_ms_p50, budgets.latency_ms_p50),
            (outcome.model_size_bytes, budgets.model_size_bytes),
        )
        return all(limit is None or value <= limit for value, limit in limits)

    def keeps(self, outcome: Outcome) -> bool:
        """Whether all budgets that a search knows of are kept."""
        return self.fits(outcome) and not self.excess(outcome)


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is nowhere worse and somewhere better."""
    return a != b and a.loss <= b.loss and a.log_ms <= b.log_ms


def front(points: Sequence[Point]) -> list[int]:
    """Indices of those that none dominates, the fastest first; of equal ones the first."""
    order = sorted(range(len(points)), key=lambda index: (points[index][::-1], index))
    found: list[int] = []
    for index in order:
        if not found or points[index].loss < points[found[-1]].loss:
            found.append(index)
    return found


def ranked(points: Sequence[Point]) -> list[int]:
    """All indices: front by front, and in each those first that lie furthest from the others
    (Schmucker et al., 2021, call that their epsilon net).
    """
    left, order = list(range(len(points))), []
    while left:
        members = [left[index] for index in front([points[index] for index in left])]
        order += _spread_out(members, points)
        left = [index for index in left if index not in members]
    return order


def _spread_out(members: Sequence[int], points: Sequence[Point]) -> list[int]:
    """Begins with the one that loses least; then always the one furthest from all before it."""
    low, high = (Point(*map(end, zip(*points, strict=True))) for end in (min, max))
    sizes = [max(top - bottom, 1e-9) for bottom, top in zip(low, high, strict=True)]

    def apart(a: int, b: int) -> float:
        sides = zip(points[a], points[b], sizes, strict=True)
        return max(abs(x - y) / size for x, y, size in sides)

    left = sorted(members, key=lambda index: (points[index], index))
    order = [left.pop(0)]
    while left:
        furthest = max(left, key=lambda index: min(apart(index, other) for other in order))
        left.remove(furthest)
        order.append(furthest)
    return order


def complete(trials: Iterable[Tried]) -> list[tuple[Tried, Outcome]]:
    """Those that are done, with what came of them."""
    return [
        (one, one.outcome) for one in trials if one.state == "complete" and one.outcome is not None
    ]


def shippable(trials: Iterable[Tried]) -> list[tuple[Tried, Outcome]]:
    """Those whose file could ship; the original is what they are held against."""
    found = complete(trials)
    return [row for row in found if row[1].exact and row[0].plan.kind != "original"]


def front_of(trials: Iterable[Tried], aims: Aims) -> list[tuple[Tried, Outcome]]:
    """The front of what could ship, the fastest first."""
    found = shippable(trials)
    return [found[index] for index in front([aims.point(outcome) for _, outcome in found])]


def by_preference(trials: Iterable[Tried], aims: Aims) -> list[tuple[Tried, Outcome]]:
    """The front: those that keep the budgets first, the fastest of them first; then those that
    lose least too much.
    """

    def key(row: tuple[Tried, Outcome]) -> tuple[bool, float, float]:
        outcome = row[1]
        return not aims.fits(outcome), aims.excess(outcome), outcome.latency_ms_p50

    return sorted(front_of(trials, aims), key=key)


def to_deploy(trials: Sequence[Tried], aims: Aims, most: int) -> list[tuple[Tried, Outcome]]:
    """So many of the front, by preference; and plain int8, in the runtime where it is fastest, in
    the end: it may ship where all before it are refused, and a search never ends worse.
    """
    chosen = by_preference(trials, aims)[:most]
    plain = [row for row in shippable(trials) if row[0].plan.kind == "plain"]
    fastest = min(plain, key=lambda row: row[1].latency_ms_p50, default=None)
    if fastest is None or fastest[0].plan.key in {one.plan.key for one, _ in chosen}:
        return chosen
    return [*chosen, fastest]


def hypervolume(points: Iterable[Point], worst: Point) -> float:
    """The area that is beaten by them, up to `worst`."""
    known = [point for point in points if point.loss < worst.loss and point.log_ms < worst.log_ms]
    area, ceiling = 0.0, worst.loss
    for index in front(known):
        area += (worst.log_ms - known[index].log_ms) * (ceiling - known[index].loss)
        ceiling = known[index].loss
    return area
