"""How images lie in memory while a model trains."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgecompress.compress.modes import set_training


def use_channels_last(models: Sequence[nn.Module], inputs: tuple[Tensor, ...]) -> None:
    """Lay their weights out so, in place, which is several times faster on CPUs; convolutions take
    the layout of their weights. Where one of them reshapes with view() and cannot have it, all stay
    as they are. They are in eval mode afterwards where `inputs` has images.

    Args:
        models: that compute from the same inputs.
        inputs: as all of them take them.

    """
    if not any(x.dim() == 4 for x in inputs):
        return
    for model in models:
        set_training(model, False)
        _lay_out(model, torch.channels_last)
    try:
        for model in models:
            model(*inputs)
    except RuntimeError:
        for model in models:
            use_contiguous(model)


def use_contiguous(model: nn.Module) -> None:
    """As torch makes them, in place."""
    _lay_out(model, torch.contiguous_format)


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    # torch's stubs lack this overload of Module.to, which its documentation has.
    model.to(memory_format=memory_format)  # type: ignore[call-overload]
