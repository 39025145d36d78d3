"""Residual branches of a captured graph: what is added to something that it was computed from.

A network of residual blocks behaves like an ensemble of shallower ones (Veit et al., 2016), so
that a branch can be missed where hardly any other part of a network can. Branches are found by the
graph's structure; no class of modules is known by name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from edgecompress.compress.fx import fake, is_float, module_paths
from edgecompress.compress.operators import ADDING, MATMULS, WEIGHTED

_COMPUTING = {*WEIGHTED, *MATMULS}


@dataclass(frozen=True)
class Branch:
    """A part of the graph that ends in a sum, and nowhere else."""

    total: Node
    """The sum."""
    result: Node
    """What the branch adds to it."""
    inside: frozenset[Node]
    """Calls that only this branch needs."""

    @property
    def module(self) -> str:
        """The innermost module of the user's that has all of the branch and the sum in it."""
        shared = module_paths(self.total)
        for node in filter(_has_place, self.inside):
            paths = set(module_paths(node))
            shared = [path for path in shared if path in paths]
        return shared[-1] if shared else ""

    def modules(self, graph: GraphModule) -> list[str]:
        """The outermost modules that are in the branch with all their calls, in their order."""
        calls: dict[str, list[Node]] = {}
        for node in graph.graph.nodes:
            if _has_place(node):
                for path in module_paths(node):
                    calls.setdefault(path, []).append(node)
        whole = {path for path, nodes in calls.items() if self.inside.issuperset(nodes)}
        return [path for path in calls if path in whole and not _is_within(path, whole)]


def branches(graph: GraphModule) -> list[Branch]:
    """Every residual branch, in the order of their sums; of branches within one another too."""
    return [found for node in graph.graph.nodes for found in _of_sum(node)]


class Masked(Interpreter):
    """Runs a graph in which some branches add zeros: what a model without them must equal."""

    def __init__(self, graph: GraphModule, masked: Iterable[Branch]) -> None:
        super().__init__(graph)
        self._results = {branch.total: branch.result for branch in masked}

    def run_node(self, n: Node) -> Any:
        if n not in self._results:
            return super().run_node(n)
        terms = [self.env[x] for x in n.all_input_nodes if x is not self._results[n]]
        assert callable(n.target), "it calls a function"
        return n.target(*terms, torch.zeros_like(terms[0]))


def _has_place(node: Node) -> bool:
    """Whether it is known which module calls it; of sizes of tensors it is not."""
    value = node.meta.get("val")
    return node.op == "call_function" and isinstance(value, (Tensor, list, tuple))


def _of_sum(total: Node) -> list[Branch]:
    """The branch that ends here. Where both terms could be one, as with a convolution for a
    shortcut, it is the one that computes more.
    """
    if total.target not in ADDING or len(total.all_input_nodes) != 2 or total.kwargs:
        return []
    if not all(is_float(x) and fake(x).shape == fake(total).shape for x in total.all_input_nodes):
        return []
    one, other = total.all_input_nodes
    found = [_branch(total, kept, result) for kept, result in ((one, other), (other, one))]
    return sorted((x for x in found if x is not None), key=_layers)[-1:]


def _branch(total: Node, kept: Node, result: Node) -> Branch | None:
    before = _behind(kept)
    inside = _only_for(total, _behind(result) - before)
    entries = {x for node in inside for x in node.all_input_nodes if x not in inside}
    is_residual = result in inside and any(is_float(x) and x in before for x in entries)
    branch = Branch(total, result, frozenset(inside))
    return branch if is_residual and _layers(branch) else None


def _layers(branch: Branch) -> int:
    return sum(node.target in _COMPUTING for node in branch.inside)


def _behind(node: Node) -> set[Node]:
    """The calls and inputs that `node` is computed from, itself included, without constants."""
    seen: set[Node] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node not in seen and node.op != "get_attr":
            seen.add(node)
            waiting += node.all_input_nodes
    return seen


def _only_for(total: Node, nodes: set[Node]) -> set[Node]:
    """Those of `nodes` that nobody needs but `total`."""
    inside = {node for node in nodes if node.op == "call_function"}
    while True:
        shared = {node for node in inside if not inside.issuperset(set(node.users) - {total})}
        if not shared:
            return inside
        inside -= shared


def _is_within(path: str, others: set[str]) -> bool:
    return any(path != other and path.startswith(f"{other}.") for other in others)
