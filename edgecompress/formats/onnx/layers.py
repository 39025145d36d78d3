"""The names that the user's model has for its layers, in an ONNX document."""

import json

import onnx_ir as ir

SCOPES_KEY = "pkg.torch.onnx.name_scopes"
# What may stand between a weight and its layer.
_ROUND_WEIGHTS = {"DequantizeLinear", "QuantizeLinear", "Transpose"}


def name_layers(model: ir.Model, layers: dict[str, str]) -> None:
    """Nodes, weights and biases get the names that the user's model has for them."""
    taken: set[str] = set()
    for node in model.graph:
        if len(node.inputs) < 2:
            continue
        path = layers.get(weight_name(node.inputs[1]) or "")
        if path is None:
            continue
        name = path
        while name in taken:  # one module, called more than once
            name += "'"
        taken.add(name)
        node.name = name
        node.metadata_props[SCOPES_KEY] = json.dumps([path, name])
    for old, path in layers.items():
        value = model.graph.initializers.get(old)
        if value is not None and f"{path}.weight" not in model.graph.initializers:
            value.name = f"{path}.weight"


def weight_name(value: ir.Value | None) -> str | None:
    """Name of the constant that `value` is, or is the quantised or transposed form of."""
    while value is not None and not value.is_initializer():
        node = value.producer()
        if node is None or node.op_type not in _ROUND_WEIGHTS:
            return None
        value = node.inputs[0]
    return None if value is None else value.name
