"""What was trained or calibrated in one prepared graph, in another that quantises less."""

from collections import defaultdict

import torch
from torch import nn
from torch.fx import GraphModule
from torchao.quantization.pt2e import FakeQuantize

from edgecompress.compress.quantize import Prepared
from edgecompress.compress.requantize import WithoutTies
from edgecompress.compress.side_by_side import Layer, layers_of
from edgecompress.compress.units import is_quantizer

_Sources = frozenset[str]


def carry_ranges(source: Prepared, target: Prepared) -> bool:
    """Give `target`, of the same model, the ranges that `source` has of those tensors that share a
    scale with the same others in both; whether those are all.
    """
    ours, theirs = _by_sources(target.graph), _by_sources(source.graph)
    for tensors, quantizer in ours.items():
        if tensors in theirs:
            quantizer.load_state_dict(theirs[tensors].state_dict())
    return ours.keys() <= theirs.keys()


def carry_weights(source: Prepared, target: Prepared) -> None:
    """Give `target`, of the same model, the weights and biases of `source`."""
    weights = _without_quantizers(source.graph)
    with torch.no_grad():
        for name, value in _without_quantizers(target.graph).items():
            value.copy_(weights[name])


def carry_refinements(source: Prepared, target: Prepared) -> None:
    """After `carry_ranges`: give the layers of `target` the corrected biases of `source`. One that
    reads or writes other scales there than in `source` gets the scale and the rounding that it
    would have without a refinement: its own were chosen between those.
    """
    theirs = {layer.name: layer for layer in layers_of(source.graph)}
    with torch.no_grad():
        for layer in layers_of(target.graph):
            other = theirs.get(layer.name)
            if other is None or not _same_scales(other, layer):
                layer.fake_quantize.release()
            elif layer.own_bias is not None and other.own_bias is not None:
                layer.own_bias.copy_(other.own_bias)


def _same_scales(ours: Layer, theirs: Layer) -> bool:
    """Whether what chooses the scales of their weights says the same."""
    chooses, also = ours.fake_quantize.adjust, theirs.fake_quantize.adjust
    if not isinstance(chooses, WithoutTies) or not isinstance(also, WithoutTies):
        return True
    pairs = ((chooses.before, also.before), (chooses.after, also.after))
    return all(torch.equal(one.scale, other.scale) for one, other in pairs)


def _by_sources(graph: GraphModule) -> dict[_Sources, nn.Module]:
    """Each fake-quantize by the names of the nodes whose values go through it."""
    # One serves all tensors that share a scale, under a name for each.
    modules = dict(graph.named_modules(remove_duplicate=False))
    names: dict[nn.Module, set[str]] = defaultdict(set)
    for node in graph.graph.nodes:
        if is_quantizer(node, modules):
            names[modules[str(node.target)]].add(node.all_input_nodes[0].name)
    return {frozenset(found): module for module, found in names.items()}


def _without_quantizers(graph: GraphModule) -> dict[str, torch.Tensor]:
    inside = [
        name
        for name, module in graph.named_modules(remove_duplicate=False)
        if isinstance(module, FakeQuantize)
    ]
    return {
        name: value
        for name, value in graph.state_dict(keep_vars=True).items()
        if not any(name.startswith(f"{prefix}.") for prefix in inside)
    }
