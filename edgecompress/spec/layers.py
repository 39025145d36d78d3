"""Two files, activation by activation."""

from typing import Literal

from edgecompress.spec.base import Spec


class LayerDifference(Spec):
    """One activation that two files have in common."""

    layer: str
    """As the first file calls it."""
    max_steps: float
    """Largest difference, in steps of its scale."""
    differing: float
    """Share of the values that are not equal."""


class UnpairedActivation(Spec):
    """One that no activation of the other file is known to be the same as."""

    file: Literal["a", "b"]
    """The first or the second."""
    layer: str
    """As that file calls it."""
    reason: str


class LayerComparison(Spec):
    """Two quantised files on the same inputs, activation by activation in order of execution."""

    samples: int
    layers: tuple[LayerDifference, ...]
    first_apart: str | None
    """The first layer that differs by more steps than are allowed; None: they stay together."""
    unpaired: tuple[UnpairedActivation, ...] = ()
    """Activations that were not compared."""
