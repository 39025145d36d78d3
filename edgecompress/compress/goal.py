"""How many units each group keeps in the end, as the recipe says."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from edgecompress.compress import allocate
from edgecompress.compress.across import across_groups
from edgecompress.compress.allocate_latency import MeasuredSpeed, for_latency
from edgecompress.compress.prunable import Prunable
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import StructuredPruneSpec


@dataclass(frozen=True)
class Prices:
    """What a unit is worth, in ways that take long, of which an allocation needs one at most."""

    sensitivity: Callable[[], allocate.Sensitivity]
    comparable: Callable[[], list[Tensor]]
    """Scores of units that can be compared over groups."""
    speed: Callable[[], MeasuredSpeed]
    """What is known of the device."""


def goal_of(
    spec: StructuredPruneSpec, space: allocate.Space, found: Prunable, prices: Prices
) -> allocate.Kept:
    """Units that each group keeps in the end."""
    ratio = spec.pruning_ratio
    single = ratio if isinstance(ratio, float) else None
    if spec.allocation == "sensitivity":
        return allocate.greedy(space, prices.sensitivity(), spec.macs_reduction, single)
    if spec.allocation == "global":
        return across_groups(space, prices.comparable(), spec.macs_reduction, single)
    if spec.latency_reduction is not None:
        return for_latency(space, prices.sensitivity, prices.speed(), spec.latency_reduction)
    if spec.macs_reduction is not None:
        return allocate.uniform_for_macs(space, spec.macs_reduction)
    if isinstance(ratio, dict):
        kept = allocate.named(space, ratio, found.refused)
    else:
        assert ratio is not None, "one of both is given"
        kept = allocate.uniform(space, ratio)
    if kept == [len(group.units) for group in space.groups]:
        raise ModelError(
            f"prune.pruning_ratio {ratio} removes nothing: no group has enough channels for one"
            f" step of round_to {space.round_to}; ask for more"
        )
    return kept
