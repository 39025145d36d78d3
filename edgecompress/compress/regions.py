"""Regions of a forward pass that torch.export sets apart: the bodies of `no_grad`, `autocast` and
checkpointing become graphs of their own, called by a higher-order operator. Here they are written
out again, so that every rule sees the operators in them.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, fake, module_path
from edgecompress.errors import ModelError

_HIGHER = torch.ops.higher_order
_REDUCED = (torch.bfloat16, torch.float16)


class _Call(NamedTuple):
    """Where a higher-order operator has its body, and from where on what it hands to it."""

    body: int
    operands: int


_REGIONS: dict[object, _Call] = {
    _HIGHER.wrap_with_set_grad_enabled: _Call(1, 2),
    _HIGHER.wrap_with_autocast: _Call(4, 5),
    _HIGHER.tag_activation_checkpoint: _Call(0, 1),
    _HIGHER.wrap: _Call(0, 1),
}


def inline_regions(program: ExportedProgram) -> None:
    """Write out every region, nested ones too, in place; what only checks types goes.

    A region without gradients is written out like any other: what ships has none, and training
    with fake quantisation trains its weights too, unless they are frozen (`requires_grad`).

    Raises:
        ModelError: a region rounds to a type with fewer bits, which no file would do.

    """
    graph = program.graph_module.graph
    while regions := [node for node in graph.nodes if node.target in _REGIONS]:
        for node in regions:
            _inline(program, node)
    for node in list(graph.nodes):
        if node.target is ATEN._assert_tensor_metadata.default:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.delete_all_unused_submodules()
    program.graph_module.recompile()


def _inline(program: ExportedProgram, region: Node) -> None:
    call = _REGIONS[region.target]
    holder = region.args[call.body]
    assert isinstance(holder, Node)
    path = str(holder.target)
    body = program.graph_module.get_submodule(path)
    assert isinstance(body, GraphModule)
    if region.target is _HIGHER.wrap_with_autocast:
        _check_autocast(region, body)
    results = _copy(region, list(region.args[call.operands :]), body, path)
    for part in list(region.users):  # getitem
        index = part.args[1]
        assert isinstance(index, int)
        result = results[index]
        assert isinstance(result, Node)
        part.replace_all_uses_with(result)
        program.graph_signature.replace_all_uses(part.name, result.name)
        region.graph.erase_node(part)
    region.graph.erase_node(region)


def _copy(region: Node, operands: list[object], body: GraphModule, path: str) -> list[object]:
    """The operators of `body` before `region`; returns what the body returns."""
    known: dict[Node, object] = {}
    given = iter(operands)
    for node in body.graph.nodes:
        if node.op == "placeholder":
            known[node] = next(given)
        elif node.op == "output":
            results = node.args[0]
            assert isinstance(results, (list, tuple))
            return [known[result] if isinstance(result, Node) else result for result in results]
        else:
            with region.graph.inserting_before(region):
                new = region.graph.node_copy(node, lambda source: known[source])  # type: ignore[arg-type, return-value]
            if node.op == "get_attr":
                new.target = f"{path}.{node.target}"
            known[node] = new
    return []


def _check_autocast(region: Node, body: GraphModule) -> None:
    """Raises ModelError where operators inside have results of fewer bits. An autocast that is
    switched off, or is for another kind of device, changes nothing here.
    """
    for node in body.graph.nodes:
        value = node.meta.get("val")
        rounds = isinstance(value, Tensor) and fake(node).dtype in _REDUCED
        if rounds and node.op == "call_function" and region.args[2]:
            kind = str(fake(node).dtype).removeprefix("torch.")
            where = module_path(node) or "forward()"
            raise ModelError(
                f"{where}: an autocast to {kind} rounds what it computes, which no exported file"
                " does; remove the autocast, or give it enabled=False"
            )
