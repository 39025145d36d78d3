"""Means over windows of an image, in a captured graph."""

from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

from edgecompress.compress.fx import ATEN, input_of, integers_in, optional_input

MEAN_WEIGHT = 63
"""Each position counts as much, in steps of the weights, where a mean is done as a convolution."""
_WITHOUT_TIES = "edgecompress.without_ties"


def note_without_ties(node: Node) -> None:
    """Let exporters know that the scale of a mean was chosen for a convolution, in which no sum is
    a tie: with weights of `MEAN_WEIGHT` steps.
    """
    # Of what a node carries, torch keeps this when the graph is converted and traced again.
    node.meta["custom"] = {**node.meta.get("custom", {}), _WITHOUT_TIES: True}


def is_without_ties(node: Node) -> bool:
    """Whether the scale of the mean `node` was chosen so."""
    return _WITHOUT_TIES in node.meta.get("custom", {})


@dataclass(frozen=True)
class Window:
    """The window of a pool over an image: [height, width] each."""

    size: list[int]
    stride: list[int]
    padding: list[int]
    uniform: bool = True
    """Whether every sum is divided by the size, and not by what a window covers of the image."""

    @property
    def positions(self) -> int:
        return self.size[0] * self.size[1]


def image_shape(node: Node) -> list[int]:
    """Shape of what `node` reads; [] unless it is known to have four dimensions. The batch counts
    as 1.
    """
    # Only what torch.export saw has a shape; a fake-quantize before it was put in later.
    x = input_of(node)
    source = x if "val" in x.meta else optional_input(x, 0)
    value = None if source is None else source.meta.get("val")
    if not isinstance(value, Tensor) or value.dim() != 4:
        return []
    return [1, *map(int, value.shape[1:])]


def averaged_window(node: Node) -> Window | None:
    """That of avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad,
    divisor_override), or of mean(x, dim) over an image; None for all else.
    """
    if node.target not in (ATEN.avg_pool2d.default, ATEN.mean.dim):
        return None
    image = image_shape(node)
    if not image:
        return None
    if node.target is ATEN.mean.dim:
        whole = {dim % 4 for dim in integers_in(node.args[1])} == {2, 3}
        return Window(image[2:], [1, 1], [0, 0]) if whole else None
    defaults: tuple[object, ...] = ([], 0, False, True, None)
    given = [*node.args[1:], *defaults[len(node.args) - 2 :]]
    size, stride, padding = (integers_in(argument) for argument in given[:3])
    size, stride, padding = (
        values * 2 if len(values) == 1 else values for values in (size, stride or size, padding)
    )
    ceiling, counts_padding, divisor = given[3:]
    partial = bool(ceiling) or (any(padding) and not counts_padding)
    return Window(size, stride, padding, uniform=not partial and divisor is None)
