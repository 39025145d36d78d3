"""Which groups of channels may be cut, and why the others may not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgecompress.compress.groups import ChannelGroup, find, ignored_names, reused_layers
from edgecompress.compress.rewrite import Rewrite
from edgecompress.compress.verify import Checker
from edgecompress.errors import ModelError

Progress = Callable[[str, int, int], None]
"""(what, done, total)."""


def silent(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Prunable:
    groups: list[ChannelGroup]
    refused: dict[str, str]
    """Why a layer is kept whole, by its name."""


def prunable(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    round_to: int,
    ignored_layers: Sequence[str] = (),
    progress: Progress = silent,
) -> Prunable:
    """Every group that may be cut: found by the dependency graph, and each checked by cutting.

    Raises:
        ModelError: the model cannot be traced or checked.
        SpecError: a layer in ignored_layers is unknown.

    """
    checker = Checker(model, example_inputs)
    ignored = ignored_names(model, ignored_layers)
    reused = reused_layers(model, example_inputs)
    found = find(model, example_inputs)
    good, refused = [], dict(found.lost)
    for i, group in enumerate(found.groups):
        progress("check groups", i, len(found.groups))
        reason = forbidden(group, ignored, reused) or checker.reason(group, round_to)
        if reason is None:
            good.append(group)
        else:
            refused.update(dict.fromkeys(group.producers, reason))
    return Prunable(good, refused)


@dataclass(frozen=True)
class Reached:
    model: nn.Module
    """The user's, in which some modules are written anew."""
    rewrites: dict[str, Rewrite]
    found: Prunable


def reach_layers(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    round_to: int,
    ignored_layers: Sequence[str],
    progress: Progress,
) -> Reached:
    """What `prunable` finds, in the model as it is.

    Raises:
        ModelError: the model cannot be traced or checked.
        SpecError: a layer in ignored_layers is unknown.

    """
    found = prunable(model, example_inputs, round_to, ignored_layers, progress)
    return Reached(model, {}, found)


def forbidden(group: ChannelGroup, ignored: set[str], reused: set[str]) -> str | None:
    """Why a group must not be touched, whatever its channels are; None when it may be."""
    for slot in group.slots:
        if slot.layer in ignored and slot.side == "out":
            return f"'{slot.layer}' is in prune.ignored_layers"
        if slot.module in reused:
            return f"'{slot.module}' is used more than once, or shares its weights"
    return None


def some(found: Prunable) -> list[ChannelGroup]:
    """Its groups. Raises ModelError when there are none."""
    if not found.groups:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(found.refused.items())[:4])
        raise ModelError(
            f"model: no channels can be pruned ({reasons or 'no convolution or linear layer'});"
            " leave out prune"
        )
    return found.groups
