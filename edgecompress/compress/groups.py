"""Channel groups: which channels of which layers must go together (DepGraph, by torch-pruning).

torch-pruning's dependency graph is translated into plain data by layer name. The graph guesses
where it does not know an operator, so a group is a claim until `verify` has checked it.
"""

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch_pruning as tp
from torch import Tensor, nn

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.hooks import hooked
from edgecompress.compress.macs import evaluating
from edgecompress.errors import ModelError, SpecError

Side = Literal["out", "in", "parameter", "attribute"]

CONV = nn.modules.conv._ConvNd
WEIGHTED = (CONV, nn.Linear)


class Slot(NamedTuple):
    """One dimension of one layer. 'in' is the input of a convolution or linear layer; 'out' is
    its output, and both sides of a layer that works channel by channel (batch norm, depthwise).
    """

    layer: str
    """A module; or for side 'parameter' a bare nn.Parameter, for side 'attribute' a number of
    channels or heads that a module keeps, by its dotted name.
    """
    side: Side
    dim: int = 0
    """Where a bare parameter is meant: the dimension that holds the channels."""

    @property
    def module(self) -> str:
        """The module that it is, or is in."""
        return self.layer if self.side in ("in", "out") else self.layer.rpartition(".")[0]


Cuts = Mapping[Slot, tuple[int, ...]]
"""Channels to remove, by slot."""


@dataclass(frozen=True)
class ChannelGroup:
    """Units that are interchangeable: each is the smallest thing that can be removed."""

    name: str
    """The layer that produces the channels (the first, where several do)."""
    units: tuple[Cuts, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(self.units[0])

    @property
    def producers(self) -> tuple[str, ...]:
        """Layers that lose output channels, batch norms included."""
        return tuple(slot.layer for slot in self.slots if slot.side == "out")

    def width(self, slot: Slot) -> int:
        """Channels of `slot` in one unit."""
        return len(self.units[0][slot])

    def granularity(self, round_to: int) -> int:
        """Smallest number of units that is a multiple of `round_to` channels in every layer."""
        tensors = [slot for slot in self.slots if slot.side != "attribute"]
        return math.lcm(*(round_to // math.gcd(round_to, self.width(s)) for s in tensors))

    def levels(self, round_to: int) -> tuple[int, ...]:
        """Numbers of units that may be kept, from all of them downwards, never 0."""
        step = self.granularity(round_to)
        total = len(self.units)
        return (total, *range((total - 1) // step * step, 0, -step))


def merge(cuts: Iterable[Cuts]) -> Cuts:
    """Union, sorted."""
    merged: dict[Slot, set[int]] = defaultdict(set)
    for cut in cuts:
        for slot, channels in cut.items():
            merged[slot].update(channels)
    return {slot: tuple(sorted(channels)) for slot, channels in merged.items()}


@dataclass(frozen=True)
class DependencyGroups:
    groups: list[ChannelGroup]
    """In the order of the model; together they hold each channel at most once."""
    lost: dict[str, str]
    """Layers whose channels the graph cannot follow, and why."""


def find(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> DependencyGroups:
    """Every group that the dependency graph claims.

    Raises:
        ModelError: the model cannot be copied, run or traced.

    """
    twin = duplicate(model).requires_grad_(True)
    names = {module: name for name, module in twin.named_modules()}
    with evaluating(twin), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            graph = tp.DependencyGraph().build_dependency(twin, example_inputs, verbose=False)
        except Exception as error:
            # Whatever torch-pruning stumbles over, the user's model is what must change.
            raise ModelError(
                f"model: its channels cannot be traced for pruning ({type(error).__name__}:"
                f" {error}); leave out prune, or simplify its forward()"
            ) from error
        groups: list[ChannelGroup] = []
        lost: dict[str, str] = {}
        # In the graph's own order (outputs first): a layer that joins others is met before them.
        for root in [m for m in graph.module2node if isinstance(m, WEIGHTED)]:
            if any(names[root] in group.producers for group in groups):
                continue
            try:
                groups += segments(names, _join_grouped(twin, _units(graph, root, names)))
            except Exception as error:
                # One group that torch-pruning cannot follow must not cost the others.
                line = " ".join(str(error).split())
                lost[names[root]] = (
                    f"its channels cannot be followed{_recurrent(twin)}: the dependency graph ends"
                    f" there ({type(error).__name__}: {line})"
                )
    order = {name: i for i, name in enumerate(names.values())}
    return DependencyGroups(sorted(groups, key=lambda group: order[group.name]), lost)


def _recurrent(model: nn.Module) -> str:
    """The likeliest reason: layers that take in channels and steps in an order of their own."""
    found = [name for name, layer in model.named_modules() if isinstance(layer, nn.RNNBase)]
    return f", probably into the recurrent layer '{found[0]}'" if found else ""


def reused_layers(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> set[str]:
    """Modules called more than once in a forward, or that share a parameter with another."""
    calls: Counter[str] = Counter()

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        return lambda *_: calls.update([name])

    named = dict(model.named_modules())
    hooks = (module.register_forward_hook(note(name)) for name, module in named.items())
    with hooked(hooks), evaluating(model), torch.no_grad():
        model(*example_inputs)
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in named.items():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].append(name)
    tied = {name for sharing in owners.values() if len(sharing) > 1 for name in sharing}
    return tied | {name for name, times in calls.items() if times > 1}


def ignored_names(model: nn.Module, ignored_layers: Iterable[str]) -> set[str]:
    """All modules named, with all inside them.

    Raises:
        SpecError: a name is no module of the model.

    """
    names = [name for name, _ in model.named_modules() if name]
    for wanted in ignored_layers:
        if wanted not in names:
            raise SpecError(
                f"prune.ignored_layers: '{wanted}' is not a module of the model;"
                f" known: {', '.join(names)}"
            )
    tops = tuple(ignored_layers)
    return {n for n in names if any(n == top or n.startswith(f"{top}.") for top in tops)}


def _units(
    graph: tp.DependencyGraph, root: nn.Module, names: Mapping[nn.Module, str]
) -> list[dict[Slot, tuple[int, ...]]]:
    """One unit for each output channel of `root`, or for each set of them that goes together."""
    pruner = graph.get_pruner_of_module(root)
    handler, channels = pruner.prune_out_channels, list(range(pruner.get_out_channels(root)))
    full = graph.get_pruning_group(root, handler, channels)
    probes = {channels[0], channels[len(channels) // 2], channels[-1]}
    closures = {i: graph.get_pruning_group(root, handler, [i]) for i in probes}
    if all(list(closure[0].idxs) == [i] for i, closure in closures.items()):
        units: list[dict[Slot, tuple[int, ...]]] = [{} for _ in channels]
        for item in full.items:
            slot = _slot(graph, item.dep, names)
            for channel, index in zip(item.idxs, item.root_idxs, strict=True):
                if slot is not None:
                    units[index][slot] = (*units[index].get(slot, ()), channel)
        return units
    # Channels of the root are tied to one another (chunk and multiply, reshape to an image).
    units, seen = [], set()
    for i in channels:
        if i not in seen:
            closure = graph.get_pruning_group(root, handler, [i])
            seen.update(closure[0].idxs)
            slots = [(_slot(graph, item.dep, names), item.idxs) for item in closure.items]
            units.append({slot: tuple(sorted(idxs)) for slot, idxs in slots if slot is not None})
    return units


def _slot(
    graph: tp.DependencyGraph, dependency: tp.Dependency, names: Mapping[nn.Module, str]
) -> Slot | None:
    """None for operators without weights."""
    target = dependency.target
    if isinstance(target.module, nn.Parameter):
        dim = target.pruning_dim % target.module.dim()
        if target.module.shape[dim] == 1:
            return None  # one number for all channels
        return Slot(graph._param_to_name[target.module], "parameter", dim)
    if target.module not in names or getattr(target.module, "num_parameters", None) == 1:
        return None  # the second is a PReLU with one slope for all channels
    side: Side = "in" if dependency.handler.__name__ == "prune_in_channels" else "out"
    return Slot(names[target.module], side)


def _join_grouped(
    model: nn.Module, units: list[dict[Slot, tuple[int, ...]]]
) -> list[dict[Slot, tuple[int, ...]]]:
    """Join units at the same place in the groups of a grouped convolution: each of its groups
    must lose the same channels.
    """
    for slot in {slot for unit in units for slot in unit if slot.side in ("in", "out")}:
        layer = model.get_submodule(slot.layer)
        if not isinstance(layer, CONV) or layer.groups == 1 or is_depthwise(layer):
            continue
        channels = layer.in_channels if slot.side == "in" else layer.out_channels
        places: dict[tuple[int, ...], list[dict[Slot, tuple[int, ...]]]] = defaultdict(list)
        for unit in units:
            per_group = channels // layer.groups
            places[tuple(sorted({c % per_group for c in unit.get(slot, ())}))].append(unit)
        units = [dict(merge(joined)) for joined in places.values()]
    return units


def segments(names: Mapping[nn.Module, str], units: Sequence[Cuts]) -> list[ChannelGroup]:
    """Split units that differ in the layers they touch, such as the two halves of a concat."""
    kinds: dict[frozenset[tuple[Slot, int]], list[Cuts]] = defaultdict(list)
    for unit in units:
        kinds[frozenset((slot, len(channels)) for slot, channels in unit.items())].append(unit)
    groups = []
    for members in kinds.values():
        layers = {slot.layer for slot in members[0] if slot.side == "out"}
        sources = [(m, name) for m, name in names.items() if name in layers]
        # A depthwise convolution or a batch norm passes on the channels of another layer.
        made = [n for m, n in sources if isinstance(m, WEIGHTED) and not is_depthwise(m)]
        groups.append(ChannelGroup((made or [n for _, n in sources])[0], tuple(members)))
    return groups


def is_depthwise(layer: nn.Module) -> bool:
    """What torch-pruning takes for one."""
    return isinstance(layer, CONV) and layer.groups == layer.out_channels > 1
