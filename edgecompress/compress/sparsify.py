"""Unstructured pruning by threshold: w' = w where |w| > tau, else 0."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from edgecompress.compress.groups import WEIGHTED, ignored_names
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import UnstructuredPruneSpec

Masks = dict[str, Tensor]
"""Layer -> bool, shaped like its weight, True where the weight is kept."""


def thresholds_of(model: nn.Module, spec: UnstructuredPruneSpec) -> dict[str, float]:
    """Threshold tau of each layer that is pruned. A sparsity is met exactly, except that weights
    of equal size go together.

    Raises:
        ModelError: no layer is left to prune, or a named one has no weights.

    """
    ignored = ignored_names(model, spec.ignored_layers)
    weights = {
        name: module.weight.detach().abs().flatten()
        for name, module in model.named_modules()
        if isinstance(module, WEIGHTED)
        and name not in ignored
        # One that is computed from other parameters, as under weight norm, stays whole.
        and isinstance(module.weight, nn.Parameter)
    }
    if not weights:
        raise ModelError("model: no convolution or linear layer is left to prune")
    if isinstance(spec.threshold, dict):
        unknown = sorted(set(spec.threshold) - set(weights))
        if unknown:
            raise ModelError(
                f"prune.threshold: '{unknown[0]}' is not a layer with weights to prune;"
                f" known: {', '.join(weights)}"
            )
        return dict(spec.threshold)
    if spec.threshold is not None:
        return dict.fromkeys(weights, spec.threshold)
    assert spec.sparsity is not None, "one of both is given"
    fraction = spec.sparsity
    if spec.scope == "layer":
        return {name: _quantile(weight, fraction) for name, weight in weights.items()}
    return dict.fromkeys(weights, _quantile(torch.cat(list(weights.values())), fraction))


def masks_for(model: nn.Module, thresholds: Mapping[str, float]) -> Masks:
    """What `thresholds` keep of the weights as they are."""
    return {
        name: model.get_parameter(f"{name}.weight").detach().abs() > tau
        for name, tau in thresholds.items()
    }


def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Zero what is masked, in place: once to prune, and after each optimiser step to keep it."""
    weights = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, mask in masks.items():
            weight = weights.get(f"{name}.weight")
            if weight is not None:  # else it was folded; `confirm_masks` looks at what ships
                weight.mul_(mask.to(weight.device))


def confirm_masks(weights: Iterable[tuple[str, Tensor]], masks: Mapping[str, Tensor]) -> None:
    """What was pruned is still zero in the weights that ship.

    Args:
        weights: by layer, float or integers with zero point 0; one layer may have several.
        masks: by layer; a layer without one was not pruned.

    Raises:
        ModelError: naming the first layer where it is not.

    """
    for name, weight in weights:
        mask = masks.get(name)
        if mask is not None and bool(weight[~mask].any()):
            raise ModelError(
                f"model: quantising brought back weights of '{name}' that were pruned (a layer that"
                " is used more than once gets weights of its own for each use, and one that"
                " standardises its weight another weight);"
                " name it in prune.ignored_layers"
            )


def _quantile(sizes: Tensor, fraction: float) -> float:
    """The size at or under which round(fraction * n) of them lie."""
    count = round(fraction * sizes.numel())
    # tau = 0 zeroes nothing but what is zero already.
    return float(sizes.kthvalue(count).values) if count else 0.0
