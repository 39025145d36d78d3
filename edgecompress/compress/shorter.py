"""What remains of a model without some of its residual blocks.

A block goes by putting something in the place of the user's modules: `Skip` where a whole module is
its input without the branch, `Zeros` in the place of those of a branch that is written out in a
forward() with other things. Both are ordinary modules without weights, so that a state_dict, a
checkpoint, a trace and an exported file know nothing more of what is gone; a trace leaves out what
is computed of zeros (neutral.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import Tensor, nn

from edgecompress.compress.duplicate import duplicate

Shape = tuple[int, ...]
"""The sizes of one sample."""
Stand = Literal["zero"] | Shape | tuple[Shape | None, ...] | None
"""What stands in the place of a module: one zero, which a sum spreads over however many channels
there are; zeros of a shape; a tuple of those and of None, as modules of attention return it; or
None: its first input.
"""
Removal = Mapping[str, Stand]
"""What goes, by module."""


class Skip(nn.Module):
    """In place of a module whose output, without its residual branch, is its first input."""

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        return x


class Zeros(nn.Module):
    """In place of a module of a residual branch: as many zeros, in batches as its input comes."""

    def __init__(self, shape: Literal["zero"] | Shape | tuple[Shape | None, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor, *_: object, **__: object) -> Any:
        return _zeros(x, self.shape)


def _zeros(x: Tensor, shape: Any) -> Any:
    if shape == "zero":
        return x.new_zeros(())
    if shape is None or all(isinstance(size, int) for size in shape):
        return None if shape is None else x.new_zeros((x.shape[0], *shape))
    return tuple(_zeros(x, one) for one in shape)


def shorter(model: nn.Module, removals: Iterable[Removal]) -> nn.Module:
    """A copy of `model` without these blocks."""
    twin = duplicate(model)
    for removal in removals:
        _take(twin, removal)
    return twin


def _take(model: nn.Module, removal: Removal) -> None:
    for name, shape in removal.items():
        training = model.get_submodule(name).training
        made = Skip() if shape is None else Zeros(shape)
        model.set_submodule(name, made.train(training))
