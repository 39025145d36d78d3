"""Which layer of the user's model an operator of the file is: found by the weights' values, because
litert-torch keeps no names.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node

from edgecompress.compress.graphs import is_quantizer, stored
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.tflite.graph import Graph, Operator
from edgecompress.formats.tflite.ops import WEIGHTED
from edgecompress.runtimes.litert.passes.kernels import Weight, match


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
    """The weights of the layers that have one: the captured graph's, or a float module's own."""
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


def name_tensors(graph: Graph, weights: list[Weight], input_names: tuple[str, ...]) -> None:
    """What a layer puts out is called as the user's model calls the layer; its second call has a '
    behind the name. Its constants are called `<layer>.weight` and `<layer>.bias`. Of what else is
    computed the name is that of the operator and its place: `add_7`.
    """
    taken: set[str] = set()
    for tensor, name in zip(graph.inputs, input_names, strict=True):
        tensor.name = name
    for index, op in enumerate(graph.operators):
        found = _layer_of(op, weights)
        name = f"{op.op_type.lower()}_{index}" if found is None else found.path
        while name in taken:
            name += "'"
        taken.add(name)
        for tensor in op.outputs:
            tensor.name = name
        for place, constant in enumerate(op.inputs):
            if constant is not None and constant.data is not None:
                constant.name = f"{name}/{place}"
        if found is not None:
            _, weight_at, bias_at, _ = WEIGHTED[op.op_type]
            for place, what in ((weight_at, "weight"), (bias_at, "bias")):
                named = op.inputs[place] if len(op.inputs) > place else None
                if named is not None:
                    named.name = f"{found.path}.{what}"


def _layer_of(op: Operator, weights: list[Weight]) -> Weight | None:
    return match(op.inputs[WEIGHTED[op.op_type][1]], weights) if op.op_type in WEIGHTED else None
