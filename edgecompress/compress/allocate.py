"""How many units each group keeps: uniform, named, or where it hurts least."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgecompress.compress.groups import WEIGHTED, ChannelGroup, Side, Slot, merge
from edgecompress.compress.macs import Cost
from edgecompress.compress.surgery import cut
from edgecompress.errors import ModelError

Kept = list[int]
"""Units kept, one number per group."""

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


def uniform(space: Space, ratio: float) -> Kept:
    """The smallest level that removes no more than `ratio` of each group."""
    return [_level(space, i, ratio) for i in range(len(space.groups))]


def named(space: Space, ratios: Mapping[str, float], refused: Mapping[str, str]) -> Kept:
    """`uniform` for each named layer's group; all others whole.

    Raises:
        ModelError: a name is unknown or cannot be pruned, or two names of one group disagree.

    """
    kept = [len(group.units) for group in space.groups]
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


def uniform_for_macs(space: Space, reduction: float) -> Kept:
    """`uniform` with the smallest ratio that reaches `reduction` times fewer MACs, less what is not
    needed for that: a small layer may lose half of its channels or none, and all that lose as much
    at once may overshoot by far.

    Raises:
        ModelError: no ratio does.

    """
    _check_reachable(space, reduction)
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
        if reached(space, uniform(space, ratios[middle]), reduction):
            high = middle
        else:
            low = middle + 1
    return _evened(space, uniform(space, ratios[high]), reduction)


def _evened(space: Space, kept: Kept, reduction: float) -> Kept:
    """Give back level by level, to the group that has lost the largest share, as long as the
    reduction is reached.
    """
    kept, open_ = list(kept), set(range(len(kept)))
    while open_:
        most = min(open_, key=lambda i: (kept[i] / len(space.groups[i].units), i))
        higher = [level for level in space.levels(most) if level > kept[most]]
        if higher and reached(space, [*kept[:most], higher[-1], *kept[most + 1 :]], reduction):
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


def greedy(
    space: Space,
    sensitivity: Sensitivity,
    reduction: float | None = None,
    ratio: float | None = None,
) -> Kept:
    """Remove where the least score is lost per MAC saved, until the target is reached; then give
    back what turns out not to be needed for it, the most harmful first.

    Args:
        space: the groups.
        sensitivity: from `scan`.
        reduction: so many times fewer MACs, or
        ratio: this fraction of all prunable channels.

    Raises:
        ModelError: the target cannot be reached.

    """
    total = sum(len(group.units) for group in space.groups)

    def done(kept: Kept) -> bool:
        if reduction is not None:
            return reached(space, kept, reduction)
        return ratio is None or total - sum(kept) >= ratio * total - 1e-9

    if reduction is not None:
        _check_reachable(space, reduction)
    kept = [len(group.units) for group in space.groups]
    while not done(kept):
        steps = [
            (_price(space, sensitivity, kept, i, level), i, level)
            for i in range(len(kept))
            for level in _steps_down(space, sensitivity, i, kept[i])
        ]
        if not steps:
            raise ModelError(
                f"prune.pruning_ratio {ratio} cannot be reached: with round_to {space.round_to} at"
                f" most {1 - sum(kept) / total:.2f} of the prunable channels can go; ask for less"
            )
        _, i, level = min(steps)
        kept[i] = level
    for i in sorted(range(len(kept)), key=lambda i: -sensitivity.drop(i, kept[i])):
        for level in space.levels(i):
            trial = [*kept[:i], level, *kept[i + 1 :]]
            if done(trial):
                kept = trial
                break
    return kept


def _price(
    space: Space, sensitivity: Sensitivity, kept: Kept, i: int, level: int
) -> tuple[float, float]:
    """Score lost per MAC saved; where equal (nothing lost at all), the group cut least goes."""
    saved = space.macs(kept) - space.macs([*kept[:i], level, *kept[i + 1 :]])
    lost = sensitivity.drop(i, level) - sensitivity.drop(i, kept[i])
    return lost / max(saved, 1), 1 - level / len(space.groups[i].units)


def _steps_down(space: Space, sensitivity: Sensitivity, i: int, kept: int) -> set[int]:
    """The next level, and those measured: in between the price hardly changes."""
    lower = [level for level in space.levels(i) if level < kept]
    return {*lower[:1], *(level for level in sensitivity.measured[i] if level < kept)}


def _level(space: Space, i: int, ratio: float) -> int:
    least = len(space.groups[i].units) * (1 - ratio) - 1e-9
    return min(level for level in space.levels(i) if level >= least)


def reached(space: Space, kept: Kept, reduction: float) -> bool:
    return space.macs(kept) * reduction <= space.original_macs


def _check_reachable(space: Space, reduction: float) -> None:
    if not reached(space, space.least(), reduction):
        most = space.original_macs / space.macs(space.least())
        raise ModelError(
            f"prune.macs_reduction {reduction} cannot be reached: the prunable channels allow at"
            f" most {most:.2f} with round_to {space.round_to}; ask for less"
        )


def _channels(layer: nn.modules.conv._ConvNd | nn.Linear, side: Side) -> int:
    if isinstance(layer, nn.Linear):
        return layer.in_features if side == "in" else layer.out_features
    return layer.in_channels if side == "in" else layer.out_channels
