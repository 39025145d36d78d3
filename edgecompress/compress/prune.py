"""The pruning stage: whole channels (structured), single weights (unstructured), or two of every
four (2:4), which may also follow whole channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from edgecompress.compress import allocate, importance, sparsify, two_four
from edgecompress.compress.depth import choose
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.goal import goal_of
from edgecompress.compress.groups import ChannelGroup, ignored_names
from edgecompress.compress.layers import rows, with_reasons
from edgecompress.compress.macs import Cost, count
from edgecompress.compress.plan import Cut, PrunePlan, step_of
from edgecompress.compress.prices import Prices, Ranked
from edgecompress.compress.prunable import Reached, prunable, reach_layers, some
from edgecompress.compress.prune_context import PruneContext
from edgecompress.compress.rewrite import Rewrite
from edgecompress.compress.shorter import shorter
from edgecompress.compress.surgery import cut, renumber
from edgecompress.compress.verify import Checker
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import (
    PruneSpec,
    StructuredPruneSpec,
    TwoFourPruneSpec,
    UnstructuredPruneSpec,
)
from edgecompress.spec.report import LayerRow

if TYPE_CHECKING:
    from edgecompress.compress.blocks import Block

_UNFOLLOWED = "is in no group of channels that pruning can follow"
_ONLY_BLOCKS = "only whole blocks go: neither pruning_ratio nor macs_reduction is given"


@dataclass
class Pruned:
    model: nn.Module
    plan: PrunePlan
    before: Cost
    after: Cost
    layers: tuple[LayerRow, ...]
    masks: sparsify.Masks = field(default_factory=dict)
    """What must stay zero: give it to `apply_masks` after each optimiser step."""


def prune(
    model: nn.Module,
    spec: PruneSpec,
    round_to: int,
    context: PruneContext,
) -> Pruned:
    """A pruned copy of `model`, checked; `model` itself is unchanged.

    Args:
        model: in float, on one device.
        spec: what and how much.
        round_to: structured: channel counts are kept at multiples of this.
        context: the task's part.

    Raises:
        ModelError: nothing can be pruned, the target cannot be reached, or what came out is not
            sound; the message says why.
        SpecError: a layer in ignored_layers is unknown.

    """
    if isinstance(spec, UnstructuredPruneSpec):
        return _unstructured(model, spec, context)
    if isinstance(spec, TwoFourPruneSpec):
        return _two_four(_whole(model, context), spec.ignored_layers, context)
    pruned = _structured(model, spec, round_to, context)
    return pruned if spec.then is None else _two_four(pruned, spec.ignored_layers, context)


def group_sparsity(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    round_to: int,
    ignored_layers: Sequence[str] = (),
) -> importance.GroupSparsity:
    """The regulariser for training `model` itself, over the groups that `prune` may cut.

    Raises:
        ModelError: there are none.

    """
    found = prunable(model, example_inputs, round_to, ignored_layers)
    return importance.GroupSparsity(model, some(found))


def _structured(
    model: nn.Module, spec: StructuredPruneSpec, round_to: int, context: PruneContext
) -> Pruned:
    example = context.example_inputs
    checker = Checker(model, example)
    before = count(model, example)
    taken = _blocks(model, spec, context)
    current = shorter(model, [block.removal for block in taken])
    reasons = {
        name: f"goes with the residual block '{block.name}'"
        for block in taken
        for name in block.layers
    }
    plan = PrunePlan(method="structured", blocks=tuple(dict(block.removal) for block in taken))
    spec = spec.without_layers(reasons.keys())
    if spec.cuts_channels:
        narrowed = _channels(current, spec, round_to, context, _Before(model, before.macs))
        current, reasons = narrowed.model, {**reasons, **narrowed.kept_whole}
        update = {"rewrites": narrowed.rewrites, "steps": narrowed.steps}
        plan = plan.model_copy(update=update)
    checker.alive(current)
    after = count(current, example)
    _check_smaller(spec, before, after)
    otherwise = _UNFOLLOWED if spec.cuts_channels else _ONLY_BLOCKS
    return Pruned(current, plan, before, after, rows(model, current, reasons, otherwise))


def _blocks(model: nn.Module, spec: StructuredPruneSpec, context: PruneContext) -> "list[Block]":
    """The residual blocks that go."""
    ignored = ignored_names(model, spec.ignored_layers)
    if not spec.remove_blocks:
        return []
    # It traces, and what that needs takes a second to import.
    from edgecompress.compress.blocks import BlockFinder

    finder = BlockFinder(model, context.example_inputs, ignored)
    chosen = choose(model, finder.find(), spec.remove_blocks, context.score, context.progress)
    finder.confirm(chosen)
    return chosen


@dataclass(frozen=True)
class _Narrowed:
    model: nn.Module
    rewrites: dict[str, Rewrite]
    steps: tuple[tuple[Cut, ...], ...]
    kept_whole: dict[str, str]
    """Why, by layer."""


class _Before(NamedTuple):
    """What the recipe's goal is relative to."""

    model: nn.Module
    macs: int


def _channels(
    model: nn.Module,
    spec: StructuredPruneSpec,
    round_to: int,
    context: PruneContext,
    before: _Before,
) -> _Narrowed:
    """A copy of `model` with fewer channels."""
    example = context.example_inputs
    find = _reach_operators if spec.reach == "operators" else reach_layers
    reached = find(model, example, round_to, spec.ignored_layers, context.progress)
    model, found = reached.model, reached.found
    checker, groups = Checker(model, example), some(found)
    current, steps = duplicate(model), []
    space = allocate.Space.of(current, groups, round_to, count(model, example), before.macs)
    ranking = _rank(current, spec, space, groups, context)
    prices = Prices(context, spec.importance, before.model, Ranked(current, space, groups, ranking))
    goal = goal_of(spec, space, found.refused, prices)
    for step in range(1, spec.steps + 1):
        context.progress("prune", step - 1, spec.steps)
        cuts = Ranked(current, space, groups, ranking).cuts(goal, step / spec.steps)
        if cuts:
            smaller = cut(current, cuts)
            checker.confirm(current, smaller, cuts)
            current, groups = smaller, renumber(groups, cuts)
            steps.append(step_of(cuts))
        if step < spec.steps:
            context.finetune(current, step)
            ranking = _rank(current, spec, space, groups, context)
    kept_whole = _with_parents({**_kept_whole(space, goal), **found.refused})
    return _Narrowed(current, reached.rewrites, tuple(steps), kept_whole)


def _reach_operators(*what: Any) -> Reached:
    # It traces, and what that needs takes a second to import.
    from edgecompress.compress.reach import reach_operators

    return reach_operators(*what)


def _rank(
    model: nn.Module,
    spec: StructuredPruneSpec,
    space: allocate.Space,
    groups: Sequence[ChannelGroup],
    context: PruneContext,
) -> list[Tensor]:
    return importance.scores(
        model,
        groups,
        spec.importance,
        context.loss,
        lambda group: group.granularity(space.round_to),
    )


def _check_smaller(spec: StructuredPruneSpec, before: Cost, after: Cost) -> None:
    if after.macs >= before.macs or after.params >= before.params:
        raise ModelError(
            f"model: pruning made nothing smaller ({before.macs} to {after.macs} MACs,"
            f" {before.params} to {after.params} parameters); ask for more"
        )
    if spec.macs_reduction is not None and after.macs * spec.macs_reduction > before.macs:
        raise ModelError(
            f"prune.macs_reduction {spec.macs_reduction} was not reached"
            f" ({before.macs} to {after.macs} MACs); ask for less"
        )


def _with_parents(reasons: dict[str, str]) -> dict[str, str]:
    """A module whose layers are rows of no report, as those of attention, has their reason."""
    parents = {name.rpartition(".")[0]: why for name, why in reversed(reasons.items())}
    return {**parents, **reasons}


def _kept_whole(space: allocate.Space, goal: allocate.Kept) -> dict[str, str]:
    return {
        name: f"the target is met without it, in steps of round_to {space.round_to}"
        for group, kept in zip(space.groups, goal, strict=True)
        if kept == len(group.units)
        for name in group.producers
    }


def _unstructured(model: nn.Module, spec: UnstructuredPruneSpec, context: PruneContext) -> Pruned:
    example = context.example_inputs
    checker = Checker(model, example)
    thresholds = sparsify.thresholds_of(model, spec)
    masks = sparsify.masks_for(model, thresholds)
    if all(bool(mask.all()) for mask in masks.values()):
        raise ModelError("prune: no weight is small enough to be zeroed; ask for more")
    pruned = duplicate(model)
    sparsify.apply_masks(pruned, masks)
    checker.alive(pruned)
    cost = count(model, example)
    ignored = ignored_names(model, spec.ignored_layers)
    reasons = dict.fromkeys(ignored, "is in prune.ignored_layers")
    plan = PrunePlan(method="unstructured", thresholds=thresholds)
    # Zeros are still multiplied, so the dense cost is unchanged.
    return Pruned(pruned, plan, cost, cost, rows(model, pruned, reasons), masks)


def _whole(model: nn.Module, context: PruneContext) -> Pruned:
    """Nothing removed yet."""
    cost = count(model, context.example_inputs)
    return Pruned(model, PrunePlan(method="2:4"), cost, cost, rows(model, model, {}))


def _two_four(pruned: Pruned, ignored_layers: Sequence[str], context: PruneContext) -> Pruned:
    """`pruned` with 2:4 weights where that can be; its model itself is unchanged."""
    checker = Checker(pruned.model, context.example_inputs)
    chosen = two_four.choose(pruned.model, context.example_inputs, ignored_layers)
    sparse = duplicate(pruned.model)
    masks = two_four.masks_for(sparse, chosen.layers)
    sparsify.apply_masks(sparse, masks)
    reasons = {name: f"not 2:4: {why}" for name, why in chosen.reasons.items()}
    two_four.confirm({name: sparse.get_parameter(f"{name}.weight") for name in masks})
    checker.alive(sparse)
    return replace(
        pruned,
        model=sparse,
        plan=pruned.plan.model_copy(update={"two_four": chosen.layers}),
        layers=with_reasons(pruned.layers, reasons),
        masks=masks,
    )
