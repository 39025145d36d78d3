"""`quantize.train_scales`: QAT learns how large its steps are, with the weights (LSQ).

As in Esser et al. (2020, "Learned step size quantization"): with x / s rounded to r and cut to
low..high, what is handed on is r * s, and its slope in s is r - x / s inside of that, and low or
high outside. The gradient of s is multiplied by 1 / sqrt(N * high), N the weights of a channel or
the numbers of an activation, which keeps its relative step about as large as that of the weights.

What is learnt here is the logarithm of how much s has grown, so that s stays above zero. Its
gradient is divided by s^2, which makes a step of SGD the paper's own, to first order, and one of
AdamW a relative one (`compress/fake_quantize.py`).

A scale that several tensors share is one, and one that is chosen so that no sum is a tie is chosen
anew from each learnt one before every run: training sees the scales that ship. Zero points stay as
they were calibrated. In the end a learnt scale is one that is held, as any other.
"""

import torch
from torch import nn

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.fake_quantize import AdjustedFakeQuantize, observers_of
from edgecompress.compress.modes import set_training
from edgecompress.compress.quantize import Prepared


def learn_scales(prepared: Prepared) -> None:
    """From here on scales are parameters of a calibrated graph. Those of what lies between 0 and 1
    anyway, such as a softmax, stay.
    """
    graph = prepared.graph
    set_training(graph, False)
    CalibrationRun(graph).freeze()
    with torch.no_grad():
        graph(*prepared.example_inputs)  # every weight's scale follows from those of activations
    for module in _ordered(graph):
        if not module.activation_post_process.bounded:
            module.learn()
    graph.register_forward_pre_hook(_refresh)


def settle_scales(graph: nn.Module) -> None:
    """Turn what was learnt into scales that are held; what is no longer needed goes."""
    _refresh(graph)
    for module in _ordered(graph):
        if module.growth is not None:
            module.settle()
    for key, hook in list(graph._forward_pre_hooks.items()):
        if hook is _refresh:
            del graph._forward_pre_hooks[key]


def _refresh(graph: nn.Module, _: object = None) -> None:
    for module in _ordered(graph):
        module.refresh()


def _ordered(graph: nn.Module) -> list[AdjustedFakeQuantize]:
    """Activations in graph order, then weights, whose scales may be chosen by those."""
    modules = [m for m in observers_of(graph) if isinstance(m, AdjustedFakeQuantize)]
    return sorted(modules, key=lambda module: bool(module.activation_post_process.current))
