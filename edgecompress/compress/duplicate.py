"""Copies of a user's model."""

import copy

from torch import Tensor, nn

from edgecompress.errors import ModelError


def duplicate(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with `model`.

    Results that a module keeps as attributes (the weight that the older weight_norm computes before
    each call, a map of attention) are cut off from their gradients first: torch copies no others.

    Raises:
        ModelError: the model cannot be copied.

    """
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and not value.is_leaf:
                setattr(module, name, value.detach())
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"model: cannot be copied ({error}); keep only parameters, buffers and plain values"
            " as attributes"
        ) from error
