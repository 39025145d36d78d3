"""A captured graph as ExecuTorch's XNNPACK partitioner takes it."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen
from torch.utils._pytree import tree_leaves

from edgecompress.compress.graphs import (
    CLIPPING,
    WEIGHTED,
    fake,
    hold,
    input_of,
    is_dequantizer,
    is_quantizer,
    only_user,
    stored,
)
from edgecompress.runtimes.conversion import straight_graph
from edgecompress.runtimes.executorch.rewrites import rewrite

_THREE_DIMENSIONS = 5
"""Sizes of an input with three dimensions beside channels: [N, C, D, H, W]."""


def captured(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> GraphModule:
    """The operators of `module`; layers that XNNPACK has no int8 kernel for have float weights.

    Args:
        module: a float module, or a converted graph with int8 weights.
        example_inputs: of batch size 1.

    Raises:
        ModelError: it cannot be traced, or has control flow.

    """
    graph = straight_graph(module, example_inputs, "executorch")
    for node in list(graph.graph.nodes):
        if node.target in WEIGHTED and not _is_int8(node):
            _bake_weight(graph, node)
    _unshare(graph)
    rewrite(graph)
    _flatten_outputs(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _unshare(graph: GraphModule) -> None:
    """Where a layer is used twice, the second use gets constants of its own. The backend changes
    those of a convolution of signals in place, once for each (`_passes/conv1d_unsqueeze_pass.py`),
    and stores a bias once, in integers of the first input's scale (`operators/node_visitor.py`).
    """
    seen: set[Node] = set()
    for node in list(graph.graph.nodes):
        if node.target not in WEIGHTED:
            continue
        for place, given in enumerate(node.args[1:3], start=1):
            if isinstance(given, Node):
                constant = input_of(given) if is_dequantizer(given) else given
                if constant in seen and constant.op == "get_attr":
                    node.update_arg(place, _own(graph, node, given, constant))
                seen.add(constant)


def _own(graph: GraphModule, node: Node, given: Node, constant: Node) -> Node:
    """Another such argument of `node`, which no other node reads."""
    own = hold(graph, node, "_executorch_own", stored(graph, constant).clone())
    own.meta["val"] = fake(constant)
    if given is constant:
        return own
    with graph.graph.inserting_before(node):
        dequantized = graph.graph.node_copy(given)
    dequantized.replace_input_with(constant, own)
    return dequantized


def _flatten_outputs(graph: GraphModule) -> None:
    """Whatever the model returns becomes a tuple of its tensors: a file knows no other."""
    output = next(iter(reversed(graph.graph.nodes)))
    leaves = [leaf for leaf in tree_leaves(output.args) if isinstance(leaf, Node)]
    output.args = (tuple(leaf for leaf in leaves if isinstance(leaf.meta.get("val"), Tensor)),)
    graph.graph.set_codegen(CodeGen())  # that of torch.export knows the old outputs


def _is_int8(node: Node) -> bool:
    """Whether the partitioner gives a layer to XNNPACK in int8: it must read and write int8 alone,
    and be of one or two dimensions (`partition/config/gemm_configs.py` of the backend).
    """
    last = node
    following = only_user(node)
    if following is not None and following.target in CLIPPING:
        last = following
    if not is_dequantizer(input_of(node)) or not _is_quantized(last):
        return False
    transposed = WEIGHTED[node.target] == 1
    groups = node.args[6] if transposed and len(node.args) > 6 else 1
    return bool(fake(input_of(node)).dim() < _THREE_DIMENSIONS and groups == 1)


def _is_quantized(node: Node) -> bool:
    """Whether a Q is all that reads it."""
    user = only_user(node)
    return user is not None and is_quantizer(user)


def _bake_weight(graph: GraphModule, node: Node) -> None:
    """A layer that computes in float, with the values that its integers stand for. What is left of
    Q and DQ beside XNNPACK has no kernel.
    """
    dequantizer = node.args[1]
    if not isinstance(dequantizer, Node) or not is_dequantizer(dequantizer):
        return
    given = [stored(graph, x) if isinstance(x, Node) else x for x in dequantizer.args]
    assert callable(dequantizer.target)
    with torch.no_grad():
        value = dequantizer.target(*given)
    assert isinstance(value, Tensor)
    baked = hold(graph, node, "_executorch_weight", value)
    baked.meta["val"] = fake(dequantizer)
    node.replace_input_with(dequantizer, baked)
