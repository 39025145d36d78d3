"""Groups that only operators show: heads of attention, padded shortcuts, counts in a forward().

Beside those of the dependency graph (prunable.py), which go first and stay as they are.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from torch import Tensor, nn

from edgecompress.compress.capture import capture
from edgecompress.compress.follow import follow
from edgecompress.compress.groups import (
    WEIGHTED,
    ChannelGroup,
    Cuts,
    Slot,
    ignored_names,
    reused_layers,
    segments,
)
from edgecompress.compress.prunable import Progress, Prunable, Reached, forbidden, prunable
from edgecompress.compress.rewritable import find_rewrites
from edgecompress.compress.rewrite import rewritten
from edgecompress.compress.verify import Checker

_MOST_COUNTS = 3
"""Attributes that are tried together: heads, the features of all of them, and one more."""


def reach_operators(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    round_to: int,
    ignored_layers: Sequence[str],
    progress: Progress,
) -> Reached:
    """What `prunable` finds, and more where operators are followed.

    Raises:
        ModelError: the model cannot be traced or checked.
        SpecError: a layer in ignored_layers is unknown.

    """
    ignored = ignored_names(model, ignored_layers)
    rewrites = {
        name: rewrite
        for name, rewrite in find_rewrites(model, example_inputs).items()
        if name not in ignored
    }
    twin = rewritten(model, rewrites)
    left = [name for name in ignored_layers if name in dict(twin.named_modules())]
    known = prunable(twin, example_inputs, round_to, left, progress)
    checker, reused = Checker(twin, example_inputs), reused_layers(twin, example_inputs)
    graph, _ = capture(twin, example_inputs)
    units, held = follow(twin, graph, example_inputs)
    groups, refused = list(known.groups), {**held, **known.refused}
    candidates = list(_new(_groups(twin, units), known.groups))
    for i, group in enumerate(candidates):
        progress("follow channels", i, len(candidates))
        reason = forbidden(group, ignored, reused)
        for variant in _with_counts(twin, group) if reason is None else ():
            why = checker.reason(variant, round_to)
            if why is None:
                groups.append(variant)
                break
            reason = why if reason is None else reason
        else:
            refused.update(dict.fromkeys(group.producers, reason or ""))
    cut = {name for group in groups for name in group.producers}
    refused = {name: why for name, why in refused.items() if name not in cut}
    needed = {name: how for name, how in rewrites.items() if _is_in_any(name, groups)}
    return Reached(rewritten(model, needed), needed, Prunable(groups, refused))


def _groups(model: nn.Module, units: Sequence[Cuts]) -> list[ChannelGroup]:
    """Those that layers make and layers read."""
    layers = {name for name, layer in model.named_modules() if isinstance(layer, WEIGHTED)}
    whole = [
        unit
        for unit in units
        if {"in", "out"} <= {slot.side for slot in unit if slot.layer in layers}
    ]
    return segments({module: name for name, module in model.named_modules()}, whole)


def _new(groups: Sequence[ChannelGroup], known: Sequence[ChannelGroup]) -> Iterator[ChannelGroup]:
    """Those that have nothing in common with a known one."""
    taken = {
        (slot, channel)
        for group in known
        for unit in group.units
        for slot, channels in unit.items()
        for channel in channels
    }
    for group in groups:
        touched = {(s, c) for unit in group.units for s, channels in unit.items() for c in channels}
        if not touched & taken:
            yield group


def _with_counts(model: nn.Module, group: ChannelGroup) -> Iterator[ChannelGroup]:
    """`group` as it is; then with numbers that the modules around its layers keep as attributes,
    and that are as many as its units (a number of heads) or its channels. Which of them forward()
    means is found out by trying.
    """
    yield group
    width = max(group.width(slot) for slot in group.slots if slot.side == "out")
    total = len(group.units)
    parents = dict.fromkeys(name.rpartition(".")[0] for name in (*group.producers, "root"))
    for parent in parents:
        fewer = {
            f"{parent}.{name}".lstrip("."): value // total
            for name, value in vars(model.get_submodule(parent)).items()
            if type(value) is int and value > 1 and value in (total, total * width)
        }
        for size in range(1, min(len(fewer), _MOST_COUNTS) + 1):
            for names in combinations(fewer, size):
                yield _counting(group, {name: fewer[name] for name in names})


def _counting(group: ChannelGroup, counted: dict[str, int]) -> ChannelGroup:
    """`group`, of which each unit takes so many off these attributes."""
    units = [
        {
            **unit,
            **{
                Slot(name, "attribute"): tuple(range(i * fewer, (i + 1) * fewer))
                for name, fewer in counted.items()
            },
        }
        for i, unit in enumerate(group.units)
    ]
    return ChannelGroup(group.name, tuple(units))


def _is_in_any(module: str, groups: Sequence[ChannelGroup]) -> bool:
    return any(
        f"{slot.module}.".startswith(f"{module}.") for group in groups for slot in group.slots
    )
