"""What an activation is computed of, in terms that files of every format share.

A layer with weights has the path that the user's model gives it, in each of its files. Everything
else is known by the layers that it is computed of: a residual addition of `conv2` and `conv1` is
that in any file, however its operators are called and whichever of them were fused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

Scaled = tuple[float, int]
"""Scale and zero point."""


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a tensor come from."""

    of: str
    """The input, the layer or the join whose result they are, or are computed of: its name, or a
    digest of what it joins.
    """
    after: bool = False
    """Whether operators without weights came behind it (a pool, a softmax); how many is no matter,
    because runtimes split and fuse those.
    """
    rearranged: bool = False
    """Whether its numbers are in another order than that of `of`, or some are missing."""
    low: float = -inf
    """The least that a ReLU or a clip behind it lets through."""
    high: float = inf
    without_bias: str | None = None
    """The layer whose products these are, where its bias may still be an operator to come."""
    held: Scaled | None = None
    """How these very numbers are held as integers already."""
    shown: Mapping[str, int] = field(default_factory=dict)
    """How many activations of an identity there were on the way from `of` to here."""


def of_input(index: int) -> Provenance:
    """The input of that place: files have their inputs in one order."""
    return Provenance(f"input {index}")


def of_layer(path: str, data: Provenance, *, alone: bool) -> Provenance:
    """What a layer puts out; one that is not called once alone is known by its data, too."""
    return Provenance(path if alone else _digest(path, [data]), without_bias=path)


def computed(kind: str, inputs: Sequence[Provenance]) -> Provenance:
    """What an operator without weights makes of what the model is given.

    Args:
        kind: of operator, in lower case: 'add', 'concat'.
        inputs: at least one; constants are left out.

    """
    if len({each.of for each in inputs}) > 1:
        return Provenance(_digest(kind, inputs))
    shown: dict[str, int] = {}
    for each in inputs:
        shown |= {key: max(count, shown.get(key, 0)) for key, count in each.shown.items()}
    moved = any(each.rearranged for each in inputs)
    return Provenance(inputs[0].of, after=True, rearranged=moved, shown=shown)


def rearranged(data: Provenance) -> Provenance:
    """Some or all of the numbers, in another order. A reshape is none of it."""
    return replace(data, rearranged=True, without_bias=None)


def clipped(data: Provenance, low: float, high: float) -> Provenance:
    return replace(
        data, low=max(low, data.low), high=min(high, data.high), without_bias=None, held=None
    )


def biased(data: Provenance) -> Provenance:
    """With the bias of the layer that put it out."""
    return replace(data, without_bias=None)


def stored(data: Provenance, scaled: Scaled) -> Provenance:
    """As integers of that scale and zero point, or as what these integers stand for."""
    return replace(data, held=scaled, without_bias=None)


def identified(
    data: Provenance, scaled: Scaled, steps: tuple[int, int]
) -> tuple[str | None, int, Provenance]:
    """What an activation is known by, in any file.

    Args:
        data: the numbers that it holds.
        scaled: how.
        steps: the least and the most of the integers, less the zero point.

    Returns:
        Its identity, which has the layers that it comes from and what saturates it: two activations
        of one identity, scale and number are the same, but for those that are computed beside each
        other; None where the order of its numbers is not known. Its number: the how many-eth of
        that identity and scale it is, each computed of the one before. And its provenance from here
        on.

    """
    if not scaled[0] > 0:
        return None, 1, stored(data, scaled)  # a file may hold anything
    low, high = max(data.low / scaled[0], steps[0]), min(data.high / scaled[0], steps[1])
    identity = f"{_known(data)} [{round(low)}, {round(high)}]"
    key = f"{identity} {scaled[0]!r}"
    number = data.shown.get(key, 0) + 1
    after = replace(stored(data, scaled), shown={**data.shown, key: number})
    return None if data.rearranged else identity, number, after


def _known(data: Provenance) -> str:
    return f"{'after ' * data.after}{'rearranged ' * data.rearranged}{data.of}"


def _digest(kind: str, inputs: Sequence[Provenance]) -> str:
    """A name as long as any other, of a join of joins too; the order of inputs is no matter."""
    told = repr((kind, sorted({_known(each) for each in inputs})))
    return f"{kind} {hashlib.sha256(told.encode()).hexdigest()[:24]}"
