"""What was trained or calibrated in one prepared graph, in another that quantises less."""

from collections import defaultdict

import torch
from torch import nn
from torch.fx import GraphModule
from torchao.quantization.pt2e import FakeQuantize

from edgecompress.compress.quantize import Prepared
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
