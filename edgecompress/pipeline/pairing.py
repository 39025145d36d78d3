"""Which activations of two files are the same one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from edgecompress.formats.base import Activation
from edgecompress.spec.layers import UnpairedActivation

_Alike = dict[tuple[str | None, np.float32], list[Activation]]
"""Activations of one provenance and scale."""

REARRANGED = "it holds numbers in another order than they were computed in"
NOT_THERE = "the other file stores nothing of that scale that comes from the same layers"
BESIDE = "'{}' has its scale and comes from the same layers, so they cannot be told apart"
MORE = "{} with its scale, one after the other, come from the same layers here and {} there"


class Pairing(NamedTuple):
    pairs: list[tuple[Activation, Activation]]
    """In the order in which the first file computes them."""
    unpaired: list[UnpairedActivation]
    """Those of the first file, then those of the second."""


def pair(a: Sequence[Activation], b: Sequence[Activation]) -> Pairing:
    """Pair what is proven to be the same: by provenance and scale.

    Where several activations have both, it counts in which order they are computed of each other,
    if that are equally many in both files. What is computed beside each other cannot be told apart.
    """
    of_a, of_b = _alike(a), _alike(b)
    pairing = Pairing([], [])
    for activation in a:
        other = _other(activation, of_a, of_b)
        if isinstance(other, Activation):
            pairing.pairs.append((activation, other))
        else:
            pairing.unpaired.append(_alone("a", activation, other))
    for activation in b:
        other = _other(activation, of_b, of_a)
        if not isinstance(other, Activation):
            pairing.unpaired.append(_alone("b", activation, other))
    return pairing


def _alone(file: Literal["a", "b"], activation: Activation, reason: str) -> UnpairedActivation:
    return UnpairedActivation(file=file, layer=activation.layer, reason=reason)


def _alike(activations: Sequence[Activation]) -> _Alike:
    found: _Alike = defaultdict(list)
    for activation in activations:
        found[activation.identity, np.float32(activation.scale)].append(activation)
    return found


def _other(activation: Activation, here: _Alike, there: _Alike) -> Activation | str:
    """The same activation in the other file, or why none is known to be."""
    if activation.identity is None:
        return REARRANGED
    key = activation.identity, np.float32(activation.scale)
    ours, theirs = here[key], there.get(key, [])
    if not theirs:
        return NOT_THERE
    for group in (ours, theirs):
        numbers = [each.number for each in group]
        beside = [each for each in group if numbers.count(each.number) > 1 and each != activation]
        if beside:
            return BESIDE.format(beside[0].layer)
    if len(ours) != len(theirs):
        return MORE.format(len(ours), len(theirs))
    return next(other for other in theirs if other.number == activation.number)
