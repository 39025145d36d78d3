"""How many units each group keeps when all units of all groups compete (`allocation: global`)."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from edgecompress.compress.allocate import Kept, Space, reached
from edgecompress.errors import ModelError

FLOOR = 0.1
"""The share of its units that each group keeps at least: what is measured of a unit beside the
others says little of a layer of which hardly any is left."""


class _Step(NamedTuple):
    """From one level of a group to the next lower one."""

    price: float
    """Score that is lost for what is saved."""
    group: int
    level: int


def across_groups(
    space: Space,
    scores: Sequence[Tensor],
    reduction: float | None = None,
    ratio: float | None = None,
) -> Kept:
    """Let the units with the lowest scores go, in whichever groups they are, until the target is
    reached. For a reduction of MACs a score counts by the MACs that go with its unit in the whole
    model, which is the greedy order of a knapsack.

    Args:
        space: the groups.
        scores: comparable ones for each unit of each group.
        reduction: so many times fewer MACs, or
        ratio: this fraction of all prunable units.

    Raises:
        ModelError: the target cannot be reached.

    """
    kept = [len(group.units) for group in space.groups]
    total = sum(kept)
    steps = sorted(
        step
        for i, score in enumerate(scores)
        for step in _steps(space, i, score, saved=1 if reduction is None else _macs(space, i))
    )

    def after(count: int) -> Kept:
        left = list(kept)
        for step in steps[:count]:
            left[step.group] = min(left[step.group], step.level)
        return left

    def done(count: int) -> bool:
        left = after(count)
        if reduction is not None:
            return reached(space, left, reduction)
        return ratio is None or total - sum(left) >= ratio * total - 1e-9

    if not done(len(steps)):
        least = after(len(steps))
        raise ModelError(_beyond(space, least, reduction, ratio))
    return after(bisect_left(range(len(steps) + 1), x=True, key=done))


def _steps(space: Space, i: int, score: Tensor, saved: float) -> list[_Step]:
    """Down to the floor. Units go in the order of their scores, so each step costs more per unit
    than the one before it.
    """
    group = space.groups[i]
    sums = [0.0, *score.double().sort().values.cumsum(0).tolist()]
    whole, floor = len(group.units), math.ceil(FLOOR * len(group.units))
    levels = [level for level in space.levels(i) if level >= floor]
    return [
        _Step((sums[whole - low] - sums[whole - high]) / ((high - low) * saved), i, low)
        for high, low in pairwise(levels)
    ]


def _macs(space: Space, i: int) -> float:
    """MACs that go with one unit of a group; at least one, where a function computes with it."""
    kept = [len(group.units) for group in space.groups]
    least = space.levels(i)[-1]
    fewer = space.macs([*kept[:i], least, *kept[i + 1 :]])
    return max((space.macs(kept) - fewer) / (kept[i] - least), 1.0)


def _beyond(space: Space, least: Kept, reduction: float | None, ratio: float | None) -> str:
    if reduction is not None:
        asked = f"prune.macs_reduction {reduction}"
        most = f"{space.original_macs / space.macs(least):.2f}"
    else:
        asked = f"prune.pruning_ratio {ratio}"
        most = f"{1 - sum(least) / sum(len(group.units) for group in space.groups):.2f}"
    return (
        f"{asked} cannot be reached: in steps of round_to {space.round_to}, and with the"
        f" {FLOOR:.0%} of each group that allocation: global keeps, at most {most}; ask for less"
    )
