"""2:4 sparsity: of every four weights along the input channels two are zero, which the sparse
tensor cores of Ampere and later skip (Mishra et al., 2021, "Accelerating Sparse Deep Neural
Networks").

The two smallest magnitudes go. Folding a batch norm and quantising symmetrically both multiply a
zero by a number, so what is zero here is zero in the exported file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgecompress.compress.groups import (
    CONV,
    WEIGHTED,
    ignored_names,
    is_depthwise,
    reused_layers,
)
from edgecompress.compress.sparsify import Masks
from edgecompress.errors import ModelError

_FOUR, _TWO = 4, 2
_OTHERS = (nn.RNNBase, nn.MultiheadAttention)
"""These have weights too."""


@dataclass(frozen=True)
class Chosen:
    layers: tuple[str, ...]
    """Those whose weights become 2:4, in the order of the model."""
    reasons: dict[str, str]
    """Why a layer with weights stays dense, by its name."""


def choose(
    model: nn.Module, example_inputs: tuple[Tensor, ...], ignored_layers: Iterable[str] = ()
) -> Chosen:
    """The layers that sparse kernels can take.

    Raises:
        ModelError: there are none; it says why.
        SpecError: a layer in ignored_layers is unknown.

    """
    ignored = ignored_names(model, ignored_layers)
    reused = reused_layers(model, example_inputs)
    layers, reasons = [], {}
    for name, layer in model.named_modules():
        if not isinstance(layer, (*WEIGHTED, *_OTHERS)):
            continue
        reason = _dense(name, layer, ignored, reused)
        if reason is None:
            layers.append(name)
        else:
            reasons[name] = reason
    if not layers:
        listed = "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:4])
        raise ModelError(
            f"model: no weights can be 2:4 ({listed or 'no convolution or linear layer'});"
            " leave 2:4 out of prune"
        )
    return Chosen(tuple(layers), reasons)


def masks_for(model: nn.Module, layers: Iterable[str]) -> Masks:
    """What 2:4 keeps of the weights as they are; of weights that are 2:4 already, all but zeros."""
    return {name: mask_of(model.get_parameter(f"{name}.weight")) for name in layers}


def mask_of(weight: Tensor) -> Tensor:
    """True where kept: the two largest of every four neighbours along axis 1; of equals, the last.

    Args:
        weight: [out, in, ...], `in` a multiple of four.

    Returns:
        bool, shaped like `weight`.

    """
    fours = _in_fours(weight).abs()
    smallest = fours.argsort(dim=-1, stable=True)[..., :_TWO]
    kept = torch.ones_like(fours, dtype=torch.bool).scatter(-1, smallest, False)
    return kept.flatten(-2).movedim(-1, 1)


def confirm(weights: Mapping[str, Tensor]) -> None:
    """Every four neighbours along axis 1 hold at least two zeros.

    Args:
        weights: [out, in, ...], by the name of their layer.

    Raises:
        ModelError: naming the first layer where they do not.

    """
    for name, weight in weights.items():
        crowded = int(((_in_fours(weight) != 0).sum(-1) > _TWO).sum())
        if crowded:
            raise ModelError(
                f"model: '{name}' is not 2:4: {crowded} groups of four input channels have more"
                " than two weights; name it in prune.ignored_layers"
            )


def _in_fours(weight: Tensor) -> Tensor:
    """[out, in, *kernel] to [out, *kernel, in / 4, 4]."""
    last = weight.detach().movedim(1, -1)
    return last.reshape(*last.shape[:-1], -1, _FOUR)


def _dense(name: str, layer: nn.Module, ignored: set[str], reused: set[str]) -> str | None:
    """Why a layer with weights stays dense; None when it need not."""
    if name in ignored:
        return "is in prune.ignored_layers"
    if isinstance(layer, _OTHERS) or (isinstance(layer, CONV) and layer.transposed):
        return f"{type(layer).__name__} is neither a convolution nor a linear layer"
    if is_depthwise(layer):
        return "a depthwise convolution reads one input channel for each output"
    if isinstance(layer, CONV) and layer.groups > 1:
        return "a grouped convolution does not read all input channels"
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        return "its weight is computed from other parameters"
    if name in reused:
        return "is used more than once, or shares its weights"
    channels = layer.get_parameter("weight").shape[1]
    if channels % _FOUR:
        return f"{channels} input channels are not a multiple of {_FOUR}"
    return None
