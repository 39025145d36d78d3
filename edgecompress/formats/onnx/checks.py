"""What an ONNX file must hold to before anything reads it further.

onnx's own checker looks at names and at the operators that it knows, not at stored numbers, nor at
operators of other domains.
"""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from edgecompress.formats.onnx.kinds import CONVERSIONS
from edgecompress.formats.onnx.values import all_nodes, label

MAX_NODES = 1 << 17
"""The largest graph, with its functions written out."""
MAX_CALLS = 100
_NO_NUMBERS = (ir.DataType.STRING, ir.DataType.COMPLEX64, ir.DataType.COMPLEX128)


class Damaged(Exception):
    """What the file says cannot be; the text completes 'not a valid ONNX model: '."""


def check_functions(proto: onnx.ModelProto) -> None:
    """Raises Damaged when the model would not fit in memory with its functions written out: a few
    of them that call one another twice each double it every time.
    """
    bodies = {(found.domain, found.name): list(found.node) for found in proto.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: list[onnx.NodeProto], depth: int) -> int:
        if depth > MAX_CALLS:
            raise Damaged(f"its functions call one another more than {MAX_CALLS} deep")
        total = 0
        for node in nodes:
            name = (node.domain, node.op_type)
            if name in bodies and name not in sizes:
                sizes[name] = size(bodies[name], depth + 1)
            total += sizes.get(name, 1)
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    total += size(list(graph.node), depth + 1)
        return total

    nodes = size(list(proto.graph.node), 0)
    if nodes > MAX_NODES:
        raise Damaged(f"it has {nodes} nodes once its functions are written out")


def external_data(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, wherever it is in the file, whose numbers are in another file."""
    graphs = [proto.graph]
    nodes = [node for function in proto.functions for node in function.node]
    tensors: list[onnx.TensorProto] = []
    sparse: list[onnx.SparseTensorProto] = []
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            tensors += graph.initializer
            sparse += graph.sparse_initializer
            nodes += graph.node
            continue
        for attribute in nodes.pop().attribute:
            tensors += [attribute.t, *attribute.tensors]
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    tensors += [part for one in sparse for part in (one.values, one.indices)]
    return (one for one in tensors if one.data_location == onnx.TensorProto.EXTERNAL)


def check(model: ir.Model) -> None:
    """Look at every name, node and stored number.

    Raises:
        Damaged: one of them cannot be. onnx_ir raises types of its own where it cannot go on.

    """
    _check_text(model.producer_name, *model.opset_imports, *model.metadata_props)
    for graph in (model.graph, *model.graph.subgraphs()):
        _check_names(graph)
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                _check_tensor(name, value.const_value)
    for node in all_nodes(model.graph):
        _check_node(node)


def _check_names(graph: ir.Graph) -> None:
    _check_text(graph.name, *graph.initializers)
    for value in (*graph.inputs, *graph.outputs):
        dims = value.shape if value.shape is not None else ()
        _check_text(value.name, *(dim.value for dim in dims if isinstance(dim, ir.SymbolicDim)))
    for node in graph:
        values = (value for value in (*node.inputs, *node.outputs) if value is not None)
        _check_text(node.name, node.op_type, node.domain, *node.attributes)
        _check_text(*(value.name for value in values))


def _check_text(*texts: object) -> None:
    """Protobuf hands over bytes where they are not UTF-8."""
    if not all(text is None or isinstance(text, str) for text in texts):
        raise Damaged("it has names that are not UTF-8 text")


def _check_node(node: ir.Node) -> None:
    if not node.outputs:
        raise Damaged(f"node '{node.name}' ({node.op_type}) has no output")
    least = _least_inputs(node.op_type)
    if len(node.inputs) < least:
        raise Damaged(f"{label(node)} has {len(node.inputs)} inputs; it takes {least} or more")
    for name, attribute in node.attributes.items():
        if attribute.type == ir.AttributeType.TENSOR:
            _check_tensor(f"{name} of {label(node)}", attribute.as_tensor())
        elif attribute.type == ir.AttributeType.TENSORS:
            for tensor in attribute.as_tensors():
                _check_tensor(f"{name} of {label(node)}", tensor)
    if node.op_type in CONVERSIONS:
        for value in node.inputs[1:3]:
            if value is not None and value.dtype in _NO_NUMBERS:
                raise Damaged(f"{label(node)} has a scale or zero point that is no number")


def _least_inputs(op_type: str) -> int:
    """The operators of other domains take what the standard one of that name takes, and more. One
    that is no longer in the standard says nothing of them: ONNX Runtime's own Upsample has its
    scales as an attribute.
    """
    if not onnx.defs.has(op_type):
        return 0
    schema = onnx.defs.get_schema(op_type)
    return 0 if schema.deprecated else schema.min_input


def _check_tensor(name: str, tensor: ir.TensorProtocol) -> None:
    sizes = list(tensor.shape.numpy())
    if any(size < 0 for size in sizes):
        raise Damaged(f"'{name}' has the sizes {sizes}")
    try:
        tensor.numpy()
    except (ValueError, TypeError, MemoryError, OverflowError):
        raise Damaged(
            f"the numbers stored for '{name}' are not those of {sizes} of {tensor.dtype}"
        ) from None
