"""Which layer of the user's model an operator of the file is: found by the weights' values, because
litert-torch keeps no names.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import stored
from edgecompress.export.base import Exportable
from edgecompress.export.litert_file import Graph
from edgecompress.export.litert_kernels import WEIGHTED, Weight, match


def is_quantizer(node: Node) -> bool:
    return "quantized_decomposed.quantize_per" in str(node.target)


def weight_nodes(model: Exportable) -> list[Node]:
    """The weights of layers in a captured graph, in the order in which it runs them."""
    if not isinstance(model.module, GraphModule):
        return []
    return [
        node
        for node in model.module.graph.nodes
        if node.op == "get_attr" and str(node.target) in model.layers
    ]


def quantizer_of(weight: Node) -> Node | None:
    """The Q behind a weight that is quantised."""
    return next((user for user in weight.users if is_quantizer(user)), None)


def weights_of(model: Exportable) -> list[Weight]:
    """Of the layers that have one: the captured graph's, or a float module's own."""
    if isinstance(model.module, GraphModule):
        return [
            _weight(model.module, node, model.layers[str(node.target)])
            for node in weight_nodes(model)
        ]
    return [
        Weight(path, (_sorted(layer.weight),), None)
        for path, layer in model.module.named_modules()
        if isinstance(getattr(layer, "weight", None), Tensor) and layer.weight.dim() > 1
    ]


def _weight(gm: GraphModule, node: Node, path: str) -> Weight:
    value, quantizer = stored(gm, node).detach(), quantizer_of(node)
    if quantizer is None:
        return Weight(path, (_sorted(value),), None)
    arguments = [stored(gm, x) if isinstance(x, Node) else x for x in quantizer.args[1:]]
    assert callable(quantizer.target)
    integers: Tensor = quantizer.target(value, *arguments)
    scale = torch.as_tensor(arguments[0]).float().numpy().reshape(-1)
    shape = [1] * value.dim()
    if scale.size > 1:
        axis = arguments[2]
        assert isinstance(axis, int)
        shape[axis] = -1
    real = integers.numpy().astype(np.float32) * scale.reshape(shape)
    return Weight(path, (_sorted(value), np.sort(real, axis=None)), scale)


def _sorted(values: Tensor) -> NDArray[np.float32]:
    return np.sort(values.detach().float().numpy(), axis=None)


def name_layers(graph: Graph, weights: list[Weight]) -> None:
    """What a layer puts out is called as the user's model calls the layer; its second call has a '
    behind the name. Its constants are called `<layer>.weight` and `<layer>.bias`.
    """
    taken: set[str] = set()
    for op in graph.operators:
        if op.op_type not in WEIGHTED:
            continue
        _, weight_at, bias_at, _ = WEIGHTED[op.op_type]
        weight = op.inputs[weight_at]
        found = match(weight, weights)
        if found is None or weight is None:
            continue
        name = found.path
        while name in taken:
            name += "'"
        taken.add(name)
        weight.name, op.outputs[0].name = f"{found.path}.weight", name
        bias = op.inputs[bias_at] if len(op.inputs) > bias_at else None
        if bias is not None:
            bias.name = f"{found.path}.bias"
