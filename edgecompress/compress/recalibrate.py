"""Batch-norm statistics of a model that was just pruned, taken anew from data.

The metric after that tells of several pruned models which training would bring furthest, without
any training (EagleEye: Li et al., ECCV 2020); with the statistics of the whole model it tells
nothing.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.modes import set_training
from edgecompress.task.base import Batch, inputs_of


def recalibrated(model: nn.Module, batches: Iterable[Batch]) -> nn.Module:
    """A copy in eval mode, each of whose batch norms has the mean statistics of the batches."""
    copy = duplicate(model)
    set_training(copy, False)
    norms = [
        module
        for module in copy.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    if norms:
        with torch.no_grad():
            for batch in batches:
                copy(*inputs_of(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
    return copy
