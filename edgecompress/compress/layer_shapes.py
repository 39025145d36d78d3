"""Single layers of a model, as shapes that can be built and measured alone."""

from collections.abc import Callable, Collection
from typing import cast, get_args

import torch
from torch import Tensor, nn

from edgecompress.compress.groups import CONV, WEIGHTED, is_depthwise
from edgecompress.compress.hooks import hooked
from edgecompress.compress.macs import evaluating
from edgecompress.spec.latency import Entry, Kind, LayerShape


def layer_shapes(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    names: Collection[str],
    float_layers: Collection[str] = (),
) -> dict[str, LayerShape]:
    """The shape of each layer, found by running the model once.

    Args:
        model: as it is afterwards too.
        example_inputs: [1, ...] each.
        names: convolutions and linear layers; one that does not run has no shape.
        float_layers: those that stay in float where the rest is quantised.

    """
    found: dict[str, LayerShape] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor]], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            given, *_ = (*inputs, *named.values())
            found.setdefault(name, _shape(layer, given, name in float_layers))

        return hook

    hooks = (
        model.get_submodule(name).register_forward_pre_hook(note(name), with_kwargs=True)
        for name in names
    )
    with hooked(hooks), evaluating(model), torch.no_grad():
        model(*example_inputs)
    return found


def channels_of(model: nn.Module, names: Collection[str]) -> dict[str, tuple[int, int]]:
    """Input and output channels of each layer."""
    return {name: _channels(model.get_submodule(name)) for name in names}


def alone(entry: Entry) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The layer of an entry with ReLU, which kernels have within them; and an input.

    Weights and input are random, by a fixed seed: the time of a dense kernel does not depend on
    their values.
    """
    generator = torch.Generator().manual_seed(0)
    layers = [each for _ in range(entry.copies) for each in (_made(entry), nn.ReLU())]
    model = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    shape = entry.shape
    if shape.kind == "Linear":
        size = (shape.batch, *shape.size, entry.inputs)
    else:
        size = (shape.batch, entry.inputs, *shape.size)
    return model, (torch.rand(size, generator=generator),)


def _made(entry: Entry) -> nn.Module:
    shape = entry.shape
    if shape.kind == "Linear":
        return nn.Linear(entry.inputs, entry.outputs)
    more = {"output_padding": shape.output_padding} if shape.output_padding else {}
    layer: nn.Module = getattr(nn, shape.kind)(
        entry.inputs,
        entry.outputs,
        shape.kernel_size,
        stride=shape.stride,
        padding=shape.padding,
        dilation=shape.dilation,
        groups=shape.groups if shape.groups else entry.inputs,
        **more,
    )
    return layer


def _shape(layer: nn.Module, given: Tensor, in_float: bool) -> LayerShape:
    assert isinstance(layer, WEIGHTED), "only these are asked for"
    kind = cast("Kind", _kind(layer))
    if not isinstance(layer, CONV):
        size, batch = tuple(given.shape[1:-1]), given.shape[0] if given.dim() > 1 else 1
        return LayerShape(kind=kind, size=size, batch=batch, in_float=in_float)
    padding = layer.padding
    return LayerShape(
        kind=kind,
        size=tuple(given.shape[2:]),
        batch=given.shape[0],
        kernel_size=tuple(layer.kernel_size),
        stride=tuple(layer.stride),
        padding=cast("tuple[int, ...]", padding if isinstance(padding, str) else tuple(padding)),
        output_padding=tuple(layer.output_padding) if layer.transposed else (),
        dilation=tuple(layer.dilation),
        groups=0 if is_depthwise(layer) and layer.in_channels == layer.groups else layer.groups,
        in_float=in_float,
    )


def _kind(layer: nn.Module) -> str:
    """The class of torch's own that it is, or inherits from."""
    return next(each.__name__ for each in type(layer).__mro__ if each.__name__ in get_args(Kind))


def _channels(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    assert isinstance(layer, CONV), "only these are asked for"
    return layer.in_channels, layer.out_channels
