"""How many units each group keeps: uniform, named, or where it hurts least."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from edgecompress.compress.groups import WEIGHTED, ChannelGroup, Side, Slot, merge
from edgecompress.compress.macs import Cost
from edgecompress.compress.surgery import cut
from edgecompress.errors import ModelError

Kept = list[int]
"""Units kept, one number per group."""

NEXT_LEVELS = 4
"""Kernels step by up to 32 channels where levels are multiples of 8."""
SCAN_POINTS = 3
"""Levels of each group at which the sensitivity scan measures; it is linear in between."""

Score = Callable[[nn.Module], float]
"""How good a model is; higher is better."""


@dataclass(frozen=True)
class Space:
    """What may be chosen, and what each choice costs in MACs."""

    groups: Sequence[ChannelGroup]
    round_to: int
    cost: Cost
    totals: Mapping[Slot, int]
    """Channels of each slot of a convolution or linear layer that is in a group."""
    original_macs: int
    """Those of the model before anything went, which `macs_reduction` is relative to."""

    @classmethod
    def of(
        cls,
        model: nn.Module,
        groups: Sequence[ChannelGroup],
        round_to: int,
        cost: Cost,
        original_macs: int,
    ) -> "Space":
        slots = {slot for group in groups for slot in group.slots if slot.side in ("in", "out")}
        layers = {slot: model.get_submodule(slot.layer) for slot in slots}
        totals = {
            slot: _channels(layer, slot.side)
            for slot, layer in layers.items()
            if isinstance(layer, WEIGHTED)
        }
        return cls(groups, round_to, cost, totals, original_macs)

    def levels(self, group: int) -> tuple[int, ...]:
        return self.groups[group].levels(self.round_to)

    def macs(self, kept: Kept) -> int:
        """MACs of the model with so many units kept. Exact for convolutions and linear layers;
        an upper bound where a function multiplies channels.
        """
        gone = dict.fromkeys(self.totals, 0)
        for group, k in zip(self.groups, kept, strict=True):
            for slot in group.slots:
                if slot in gone:
                    gone[slot] += (len(group.units) - k) * group.width(slot)
        layers: dict[str, float] = {}
        for slot, total in self.totals.items():
            share = layers.setdefault(slot.layer, float(self.cost.layers.get(slot.layer, 0)))
            layers[slot.layer] = share * (1 - gone[slot] / total)
        untouched = self.cost.macs - sum(self.cost.layers.get(name, 0) for name in layers)
        return untouched + round(sum(layers.values()))

    def least(self) -> Kept:
        return [self.levels(i)[-1] for i in range(len(self.groups))]


class Bound(NamedTuple):
    """What is asked of a shape: that it costs no more."""

    cost: Callable[[Kept], float]
    """MACs, milliseconds, or a number of units."""
    most: float

    def is_kept(self, kept: Kept) -> bool:
        return self.cost(kept) <= self.most


class Wanted(NamedTuple):
    """What a recipe asks for: one of both."""

    reduction: float | None = None
    """So many times fewer MACs than the model had before anything went."""
    ratio: float | None = None
    """This fraction of all units that may go."""

    def bound(self, space: Space, least: Kept, beside: str = "") -> Bound:
        """What a shape that reaches it keeps.

        Raises:
            ModelError: `least`, the fewest that may be kept, does not; `beside` says what else
                than `round_to` keeps them.

        """
        total, left = sum(whole(space)), sum(least)
        if self.reduction is not None:
            reduction, most = self.reduction, space.original_macs / space.macs(least)
            asked = f"macs_reduction {reduction}"
            # Multiplied, as what comes out is checked in the end: a quotient may be rounded up.
            bound = Bound(lambda kept: space.macs(kept) * reduction, space.original_macs)
        else:
            ratio = 0.0 if self.ratio is None else self.ratio
            asked, most = f"pruning_ratio {ratio}", 1 - left / total
            bound = Bound(sum, (1 - ratio) * total + 1e-9)
        if bound.is_kept(least):
            return bound
        raise ModelError(
            f"prune.{asked} cannot be reached: in steps of round_to {space.round_to}{beside}, at"
            f" most {most:.2f}; ask for less"
        )


def uniform(space: Space, ratio: float) -> Kept:
    """The smallest level that removes no more than `ratio` of each group."""
    return [_level(space, i, ratio) for i in range(len(space.groups))]


def named(space: Space, ratios: Mapping[str, float], refused: Mapping[str, str]) -> Kept:
    """`uniform` for each named layer's group; all others whole.

    Raises:
        ModelError: a name is unknown or cannot be pruned, or two names of one group disagree.

    """
    kept = whole(space)
    asked: dict[int, str] = {}
    known = [group.name for group in space.groups]
    for name, ratio in ratios.items():
        owners = [i for i, group in enumerate(space.groups) if name in group.producers]
        if not owners:
            why = refused.get(name, "it is not a layer with channels of its own")
            raise ModelError(
                f"prune.pruning_ratio: '{name}' cannot be pruned: {why};"
                f" prunable: {', '.join(known)}"
            )
        for i in owners:
            other = asked.setdefault(i, name)
            if ratios[other] != ratio:
                raise ModelError(
                    f"prune.pruning_ratio: '{other}' and '{name}' lose the same channels;"
                    " give them the same ratio, or name one only"
                )
            kept[i] = _level(space, i, ratio)
    return kept


def uniform_within(space: Space, bound: Bound) -> Kept:
    """`uniform` with the smallest ratio that keeps the bound, less what is not needed for that: a
    small layer may lose half of its channels or none, and all that lose as much at once may
    overshoot by far.

    Args:
        space: the groups.
        bound: one that the least of all keeps; else the result is that.

    """
    ratios = sorted(
        {
            1 - level / len(group.units)
            for i, group in enumerate(space.groups)
            for level in space.levels(i)
        }
    )
    low, high = 0, len(ratios) - 1
    while low < high:
        middle = (low + high) // 2
        if bound.is_kept(uniform(space, ratios[middle])):
            high = middle
        else:
            low = middle + 1
    return _evened(space, uniform(space, ratios[high]), bound)


def _evened(space: Space, kept: Kept, bound: Bound) -> Kept:
    """Give back level by level, to the group that has lost the largest share, as long as the bound
    is kept.
    """
    kept, open_ = list(kept), set(range(len(kept)))
    while open_:
        most = min(open_, key=lambda i: (kept[i] / len(space.groups[i].units), i))
        higher = [level for level in space.levels(most) if level > kept[most]]
        if higher and bound.is_kept([*kept[:most], higher[-1], *kept[most + 1 :]]):
            kept[most] = higher[-1]
        else:
            open_.remove(most)
    return kept


@dataclass(frozen=True)
class Sensitivity:
    """What the score loses when one group alone is cut."""

    measured: Sequence[Mapping[int, float]]
    """For each group: the loss at the levels that were measured, all units included."""

    def drop(self, group: int, level: int) -> float:
        """Linear between measured levels."""
        measured = self.measured[group]
        above = min(known for known in measured if known >= level)
        below = max(known for known in measured if known <= level)
        part = (above - level) / max(above - below, 1)
        return measured[above] + part * (measured[below] - measured[above])


def scan(
    model: nn.Module,
    space: Space,
    ranking: Sequence[Tensor],
    score: Callable[[int], Score],
    progress: Callable[[str, int, int], None],
) -> Sensitivity:
    """Cut each group alone to a few levels, and see what is lost.

    Args:
        model: as it is afterwards too.
        space: its groups.
        ranking: a score for each unit of each group; low ones go first.
        score: made for as many models as it is told.
        progress: called before each group.

    """
    of = score(1 + SCAN_POINTS * len(space.groups))
    base = of(model)
    drops = []
    for i, group in enumerate(space.groups):
        progress("sensitivity", i, len(space.groups))
        levels = space.levels(i)
        order = ranking[i].argsort(stable=True).tolist()
        measured = {levels[0]: 0.0}
        for point in range(1, SCAN_POINTS + 1):
            level = levels[round(point * (len(levels) - 1) / SCAN_POINTS)]
            if level not in measured:
                removed = merge(group.units[u] for u in order[: len(order) - level])
                # More cut cannot cost less; what looks so is noise.
                measured[level] = max(base - of(cut(model, removed)), *measured.values())
        drops.append(measured)
    return Sensitivity(drops)


def cheapest(space: Space, sensitivity: Sensitivity, bound: Bound) -> Kept:
    """Remove where the least score is lost per cost saved, until the bound is kept; then give back
    what turns out not to be needed for it, the most harmful first.

    Args:
        space: the groups.
        sensitivity: from `scan`.
        bound: one that the least of all keeps; else the result is that.

    """
    kept = whole(space)
    now = bound.cost(kept)
    while now > bound.most:
        steps = []
        for i, level in _lower(space, sensitivity, kept):
            after = bound.cost([*kept[:i], level, *kept[i + 1 :]])
            if after < now:
                lost = sensitivity.drop(i, level) - sensitivity.drop(i, kept[i])
                # Where nothing is lost at all, the group that is cut least goes.
                share = 1 - level / len(space.groups[i].units)
                steps.append((lost / (now - after), share, i, level, after))
        if not steps:
            break  # a table's bump: fewer channels that take longer
        *_, i, level, now = min(steps)
        kept[i] = level
    if now > bound.most:
        kept = space.least()
    for i in sorted(range(len(kept)), key=lambda i: -sensitivity.drop(i, kept[i])):
        for level in space.levels(i):
            trial = [*kept[:i], level, *kept[i + 1 :]]
            if bound.is_kept(trial):
                kept = trial
                break
    return kept


def _lower(space: Space, sensitivity: Sensitivity, kept: Kept) -> Iterator[tuple[int, int]]:
    """Each group with some of its levels below what is kept: the next ones, because a kernel may
    step by more than one of them, and those that were measured.
    """
    for i, now in enumerate(kept):
        lower = [level for level in space.levels(i) if level < now]
        measured = (level for level in sensitivity.measured[i] if level < now)
        yield from ((i, level) for level in sorted({*lower[:NEXT_LEVELS], *measured}))


def whole(space: Space) -> Kept:
    """Nothing removed."""
    return [len(group.units) for group in space.groups]


def _level(space: Space, i: int, ratio: float) -> int:
    least = len(space.groups[i].units) * (1 - ratio) - 1e-9
    return min(level for level in space.levels(i) if level >= least)


def _channels(layer: nn.modules.conv._ConvNd | nn.Linear, side: Side) -> int:
    if isinstance(layer, nn.Linear):
        return layer.in_features if side == "in" else layer.out_features
    return layer.in_channels if side == "in" else layer.out_channels
