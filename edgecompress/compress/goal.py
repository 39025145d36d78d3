"""How many units each group keeps in the end, as the recipe says."""

from collections.abc import Mapping

from edgecompress.compress.across import across_groups
from edgecompress.compress.allocate import (
    Kept,
    Space,
    Wanted,
    cheapest,
    named,
    uniform,
    uniform_within,
    whole,
)
from edgecompress.compress.allocate_latency import for_latency
from edgecompress.compress.prices import Prices
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import StructuredPruneSpec


def goal_of(
    spec: StructuredPruneSpec, space: Space, refused: Mapping[str, str], prices: Prices
) -> Kept:
    """Units that each group keeps in the end. `refused`: why the layers of no group are in none."""
    ratio = spec.pruning_ratio
    wanted = Wanted(spec.macs_reduction, ratio if isinstance(ratio, float) else None)
    if spec.allocation == "sensitivity":
        bound = wanted.bound(space, space.least())
        return cheapest(space, prices.sensitivity(), bound)
    if spec.allocation == "global":
        return across_groups(space, prices.comparable(), wanted)
    if spec.latency_reduction is not None:
        return for_latency(space, prices.sensitivity, prices.speed(), spec.latency_reduction)
    if spec.macs_reduction is not None:
        return uniform_within(space, wanted.bound(space, space.least()))
    if isinstance(ratio, dict):
        kept = named(space, ratio, refused)
    else:
        assert ratio is not None, "one of both is given"
        kept = uniform(space, ratio)
    if kept == whole(space):
        raise ModelError(
            f"prune.pruning_ratio {ratio} removes nothing: no group has enough channels for one"
            f" step of round_to {space.round_to}; ask for more"
        )
    return kept
