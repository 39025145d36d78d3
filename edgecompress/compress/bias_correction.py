"""`quantize.correct_biases`: what rounding adds to a layer's mean result is taken from its bias.

Rounding errors of weights do not cancel where inputs have a mean, as behind every ReLU: the mean of
each output channel moves, and every layer after it sees that. As in Nagel et al. (2019, appendix D,
the empirical correction), a layer's mean over calibration data, as the quantised layers before it
make it, is brought to what it was in float, one layer after another.
"""

import torch
from torch import Tensor

from edgecompress.compress.side_by_side import Layer, Seen

_SAMPLES = 32


def correct_bias(layer: Layer, seen: Seen) -> float:
    """Move the layer's bias by the mean error of its sums, in place.

    Returns:
        The root mean square of what it moved by; 0 where it has no bias of its own.

    """
    bias = layer.own_bias
    if bias is None:
        return 0.0
    error = mean_error(layer, seen)
    bias.sub_(error.to(bias.dtype))
    return float(error.square().mean().sqrt())


def mean_error(layer: Layer, seen: Seen) -> Tensor:
    """How far the mean of each output channel is from that in float, [C]."""
    weight = layer.fake_quantize(layer.weight)
    channels = seen.wanted.dim() - 1 if layer.is_linear else 1
    total = torch.zeros(seen.wanted.shape[channels], dtype=torch.float64)
    for x, y in zip(*(torch.split(t, _SAMPLES) for t in (seen.inputs, seen.wanted)), strict=True):
        error = (layer.sums(x, weight) - y).double()
        total += error.transpose(0, channels).flatten(1).sum(1)
    return total * len(total) / seen.wanted.numel()
