"""A task's decoder behind a captured graph: the graph of one is appended to that of the other."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.graph import _PyTreeCodeGen
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from edgecompress.compress.capture import capture
from edgecompress.errors import ModelError
from edgecompress.spec.measurement import DECODER


def decoded_graph(
    graph: GraphModule, decoder: nn.Module, example_inputs: tuple[Tensor, ...]
) -> tuple[GraphModule, bool]:
    """A captured graph followed by `decoder`, and whether the decoder takes any number of samples.
    Nodes and state of `graph` keep their names.

    Args:
        graph: in eval mode; it stays as it is.
        decoder: takes what `graph` returns, in its structure.
        example_inputs: of `graph`.

    Raises:
        ModelError: the decoder cannot be traced.

    """
    with torch.no_grad():
        leaves, structure = tree_flatten(graph(*example_inputs))
    given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    try:
        after, free_batch = capture(_OfTensors(decoder, leaves, structure).eval(), tuple(given))
    except ModelError as error:
        raise ModelError(f"decoder(): {error}") from error
    whole = GraphModule(graph, copy.deepcopy(graph.graph))
    _splice(whole, after)
    whole.recompile()
    return whole, free_batch


class _OfTensors(nn.Module):
    """The decoder, given the tensors of a model's output one by one."""

    def __init__(self, decoder: nn.Module, leaves: list[Any], structure: TreeSpec) -> None:
        super().__init__()
        self._leaves, self._structure = leaves, structure
        self.add_module(DECODER, decoder)

    def forward(self, *tensors: Tensor) -> Any:
        given = iter(tensors)
        leaves = [next(given) if torch.is_tensor(leaf) else leaf for leaf in self._leaves]
        return self.get_submodule(DECODER)(tree_unflatten(leaves, self._structure))


def _splice(whole: GraphModule, after: GraphModule) -> None:
    """Let `whole` end as `after` does, whose inputs are the tensors that `whole` returned."""
    result = whole.graph.output_node()
    returned = [leaf for leaf in tree_leaves(result.args) if isinstance(leaf, Node)]
    tensors = [node for node in returned if isinstance(node.meta.get("val"), Tensor)]
    placeholders = after.graph.find_nodes(op="placeholder")
    if len(tensors) != len(placeholders):
        tensors = returned
    twins: dict[Node, Node] = dict(zip(placeholders, tensors, strict=True))
    with whole.graph.inserting_before(result):
        for node in after.graph.nodes:
            if node.op in ("placeholder", "output"):
                continue
            twin = whole.graph.node_copy(node, lambda each: twins[each])
            if node.op == "get_attr":
                twin.target = _taken_over(whole, after, str(node.target))
            twins[node] = twin
    result.args = torch.fx.node.map_arg(after.graph.output_node().args, lambda each: twins[each])
    ours, theirs = whole.graph._codegen, after.graph._codegen
    assert isinstance(ours, _PyTreeCodeGen)
    assert isinstance(theirs, _PyTreeCodeGen)
    ours.pytree_info = ours.pytree_info._replace(out_spec=theirs.pytree_info.out_spec)


def _taken_over(whole: GraphModule, after: GraphModule, name: str) -> str:
    """The name in `whole` of a constant or a weight of `after`."""
    value: Any = after
    for part in name.split("."):
        value = getattr(value, part)
    new = f"{DECODER}_{name.replace('.', '_')}"
    if isinstance(value, Tensor):
        whole.register_buffer(new, value.detach())
    else:
        # A graph that control flow chooses.
        whole.add_module(new, value)
    return new
