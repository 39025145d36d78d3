"""Finds, for a node that ONNX Runtime runs, the node of the exported file that it came from.

Fusion renames things, but never everything: a fused node keeps the name of one of its parts, or
the name of the tensor it writes, or its weights' names.
"""

import re

import onnx_ir as ir

from edgecompress.formats.onnx.kinds import CONVERSIONS, family
from edgecompress.formats.onnx.macs import multiplies
from edgecompress.formats.onnx.values import all_nodes, readers

_SUFFIX = re.compile(r"(_token_\d+|_nchwc|_nhwc|/duplicated|_transformed|/\w+Fusion/?)$")
"""What ONNX Runtime's transformers append to a name."""

_FOLDED_AWAY = 6
"""How many elementwise nodes a fused node may have swallowed after the one it is named after."""


class Origins:
    """The exported file, indexed by the names that survive optimisation."""

    def __init__(self, graph: ir.Graph) -> None:
        nodes = list(all_nodes(graph))
        self._nodes = {node.name: node for node in nodes if node.name}
        self._writers = {value.name: node for node in nodes for value in node.outputs}
        self._constants = dict(graph.initializers)

    def find(self, node: ir.Node) -> ir.Node | None:
        """The node of the same family in the exported file; None where the names say nothing."""
        return self._by_name(node) or self._by_output(node) or self._by_weights(node)

    def _by_name(self, node: ir.Node) -> ir.Node | None:
        for name in _names(node.name):
            found = self._nodes.get(name)
            if found is not None and family(found) == family(node):
                return found
        return None

    def _by_output(self, node: ir.Node) -> ir.Node | None:
        # Blocked convolutions are named after the tensor that they write.
        for name in [*_names(node.outputs[0].name), *_names(node.name)]:
            writer = self._writers.get(name)
            found = _upstream(writer, family(node)) if writer is not None else None
            if found is not None:
                return found
        return None

    def _by_weights(self, node: ir.Node) -> ir.Node | None:
        for value in node.inputs:
            weights = self._constants.get(value.name or "") if value is not None else None
            found = _users(weights, family(node)) if weights is not None else []
            if len(found) == 1:
                return found[0]
        return None


def _names(name: str | None) -> list[str]:
    """The name as it is, then with one appended suffix after the other taken off."""
    found = []
    while name:
        found.append(name)
        shorter = _SUFFIX.sub("", name)
        name = shorter if shorter != name else None
    return found


def _upstream(node: ir.Node, wanted: str) -> ir.Node | None:
    """The only nearest node of a family from which this one's output follows elementwise."""
    level = [node]
    for _ in range(_FOLDED_AWAY):
        found = [candidate for candidate in level if family(candidate) == wanted]
        if found:
            return found[0] if len(found) == 1 else None
        passable = [candidate for candidate in level if not multiplies(candidate)]
        sources = [value.producer() for n in passable for value in n.inputs if value is not None]
        level = list(dict.fromkeys(source for source in sources if source is not None))
    return None


def _users(value: ir.Value, wanted: str) -> list[ir.Node]:
    found: dict[ir.Node, None] = {}
    todo, seen = [value], {value}
    while todo:
        for node in readers(todo.pop()):
            if family(node) == wanted:
                found[node] = None
            elif node.op_type in CONVERSIONS or node.op_type in ("Transpose", "Reshape"):
                written = node.outputs[0]
                todo += [] if written in seen else [written]
                seen.add(written)
    return list(found)
