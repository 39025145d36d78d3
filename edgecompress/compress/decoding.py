"""A task's decoder as a part of the model that ships, behind a module; `splice.py` has it behind a
captured graph, and imports torch.export.

A decoder makes boxes, or what else an application wants, of what the network puts out. It joins the
model after everything that trains or quantises, so the loss never sees it and all of it stays in
float: coordinates of hundreds of pixels and scores of at most 1 need more than eight bits.
"""

import copy
import functools
from typing import Any

from torch import Tensor, nn

from edgecompress.spec.measurement import DECODER


def decoded_module(model: nn.Module, decoder: nn.Module) -> nn.Module:
    """`model` followed by `decoder`; it shares their weights, and paths in `model` stay."""
    forward = model.forward

    @functools.wraps(forward)
    def decoded(*inputs: Tensor) -> Any:
        return decoder(forward(*inputs))

    twin = copy.copy(model)
    twin._modules = {**model._modules, DECODER: decoder}
    twin.forward = decoded
    return twin
