"""Every model of the zoo by name: `build(name)` gives it with seeded weights, in eval mode."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from zoo import constructs, mobile, resnet
from zoo.arrangements import ARRANGEMENTS
from zoo.operators import OPERATORS
from zoo.sequences import SEQUENCES

Sample = tuple[nn.Module, tuple[Tensor, ...]]

ZOO: dict[str, Callable[[], Sample]] = {
    builder.__name__: builder
    for builder in (
        resnet.resnet20,
        resnet.resnet_conv_shortcut,
        mobile.depthwise_separable,
        mobile.mobilenet_v2,
        mobile.mobilenet_v3,
        mobile.channel_shuffle,
        mobile.grouped_conv,
        constructs.densenet,
        constructs.decoder,
        constructs.conv1d,
        constructs.flatten_linear,
        constructs.two_inputs,
        constructs.transformer,
        constructs.recurrent,
        constructs.lstm,
        constructs.text,
        constructs.shared_module,
        constructs.tied_weights,
        constructs.functional_weight,
        constructs.gated,
        constructs.channel_softmax,
        constructs.layer_norm,
    )
}


EVERYTHING = {**ZOO, **OPERATORS, **ARRANGEMENTS, **SEQUENCES}
"""With those that only quantising and exporting need."""


def build(name: str) -> Sample:
    """The model and example inputs (batch 1); the same numbers on every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, example_inputs = EVERYTHING[name]()
        settle(model)
    return model.eval(), example_inputs


def settle(model: nn.Module) -> None:
    """Give batch norms the statistics and scales of a trained model, from torch's generator:
    fresh ones are an identity, which hides mistakes.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
