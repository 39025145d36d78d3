"""Points of the space that usually are good, for a search that has no time to find them out."""

from collections.abc import Iterator

from edgecompress.optimize.plan import Params, Plan
from edgecompress.optimize.space import CHOICES, NOTHING, Offer, Space

_TRAINED: Params = {"optimizer": "sgd", "rate": 1.0, "ema": "off", "distill": "logits"}
"""How openers train where the user's own training does not say by which optimizer."""
_IN_INT8 = (
    (2.0, "uniform", False),
    (1.25, "uniform", True),
    (1.5, "sensitivity", False),
    (1.25, "sensitivity", False),
    (1.5, "latency", False),
    (3.0, "uniform", False),
)
"""Reductions and allocations of what is pruned and then quantised, and whether residual blocks go
first. What single cuts cost tells where little goes, and less than all alike where much does. Where
int8 is fast, what a layer takes hardly follows from its channels, and only fewer layers are faster
(docs/benchmarks.md).
"""
_OF_BLOCKS = 3
"""One of so many residual blocks goes."""
_IN_FLOAT = (1.5, 2.0, 3.0)
"""Reductions of what stays in float."""


def openers(space: Space, target: str, offer: Offer = NOTHING) -> Iterator[Plan]:
    """The points, in the order in which they are tried.

    Args:
        space: what may be chosen.
        target: those in int8 are for it.
        offer: those in float are for the first target in which floats are fast; what is pruned is
            trained in int8 too where that may bring something back.

    """
    for params in _in_int8(space, target, offer):
        yield Plan(kind="drawn", target=target, params=params)
    for name in [name for name in offer.floats if space.prunes(space.target(name))][:1]:
        for reduction in _IN_FLOAT:
            pruning = {**_pruned(space, reduction, "uniform"), "recover": "float"}
            params = {"precision": "float", **pruning, **_training(space)}
            yield Plan(kind="drawn", target=name, params=params)


def _in_int8(space: Space, target: str, offer: Offer) -> Iterator[Params]:
    prunes = space.prunes(space.target(target))
    kind: Params = {"precision": "int8"} if prunes and target in offer.floats else {}
    whole: Params = {"prune": "off"} if prunes else {}
    plain: Params = {**kind, "ranges": "minmax", "equalise": "off"}
    untrained: Params = {**plain, "ranges": "mse", "equalise": "on"}
    untrained |= {"rounding": "adaptive", "correct_biases": "on"}
    if space.trains:
        if offer.trains_int8:
            trained: Params = {**_training(space), "train_scales": "off"}
            yield {**plain, **whole, "train": "qat", **trained}
        untrained |= {**whole, "train": "off"}
        allocations = [x for x in space.allocations if x != "latency" or offer.has_table(target)]
        for reduction, allocation, by_depth in _IN_INT8 if prunes else ():
            blocks = _some_blocks(space) if by_depth else 0
            if allocation in allocations and (blocks > 0) == by_depth:
                pruning = _pruned(space, reduction, allocation, blocks)
                yield {**plain, **pruning, **_recovered(space, offer)}
    yield untrained


def _some_blocks(space: Space) -> int:
    return min(space.blocks // _OF_BLOCKS, len(CHOICES["blocks"]) - 1)


def _recovered(space: Space, offer: Offer) -> Params:
    if offer.trains_int8:
        return {"recover": "both", **_training(space), "train_scales": "off"}
    calibrated: Params = {"rounding": "nearest", "correct_biases": "off"}
    return {"recover": "float", **_training(space), **calibrated}


def _pruned(space: Space, reduction: float, allocation: str, blocks: int = 0) -> Params:
    pruning: Params = {"prune": "structured", "reduction": reduction, "importance": "taylor"}
    depth: Params = {"blocks": blocks} if space.blocks else {}
    return {**pruning, "reach": "layers", "allocation": allocation, **depth}


def _training(space: Space) -> Params:
    own = space.own_training
    return _TRAINED if own is None else {**_TRAINED, "optimizer": own.optimizer}
