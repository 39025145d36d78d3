"""How many units each group keeps when all units of all groups compete (`allocation: global`)."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from edgecompress.compress.allocate import Kept, Space, Wanted, whole

FLOOR = 0.1
"""The share of its units that each group keeps at least: what is measured of a unit beside the
others says little of a layer of which hardly any is left."""
_FLOORED = f" and with the {FLOOR:.0%} of each group that allocation: global keeps"


class _Step(NamedTuple):
    """From one level of a group to the next lower one."""

    price: float
    """Score that is lost for what is saved."""
    group: int
    level: int


def across_groups(
    space: Space,
    scores: Sequence[Tensor],
    target: Wanted,
) -> Kept:
    """Let the units with the lowest scores go, in whichever groups they are, until the target is
    reached. For a reduction of MACs a score counts by the MACs that go with its unit in the whole
    model, which is the greedy order of a knapsack.

    Args:
        space: the groups.
        scores: comparable ones for each unit of each group.
        target: what is asked for.

    Raises:
        ModelError: the target cannot be reached.

    """
    kept = whole(space)
    steps = sorted(
        step
        for i, score in enumerate(scores)
        for step in _steps(space, i, score, saved=_macs(space, i) if target.reduction else 1)
    )

    def after(count: int) -> Kept:
        left = list(kept)
        for step in steps[:count]:
            left[step.group] = min(left[step.group], step.level)
        return left

    bound = target.bound(space, after(len(steps)), _FLOORED)
    counts = range(len(steps) + 1)
    return after(bisect_left(counts, x=True, key=lambda count: bound.is_kept(after(count))))


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
    kept = whole(space)
    least = space.levels(i)[-1]
    fewer = space.macs([*kept[:i], least, *kept[i + 1 :]])
    return max((space.macs(kept) - fewer) / (kept[i] - least), 1.0)
