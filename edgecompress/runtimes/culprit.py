"""Which operator of the user's model a converter fails at, where it does not say so itself."""

import time
from collections.abc import Callable

from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from edgecompress.compress.graphs import module_path

# Steps end behind these, because an operator is converted together with its scales.
_ATTACHED = ("quantize_per", "getitem")


def place_of(node: Node) -> str:
    """What a user finds the operator by: 'backbone.layer1 (aten.max_pool2d)'."""
    path = module_path(node)
    return f"{path} ({_name(node)})" if path else _name(node)


def _name(node: Node) -> str:
    """'aten.add' of aten.add.Tensor."""
    return ".".join(str(node.target).split(".")[:2])


def node_in(error: BaseException) -> Node | None:
    """The operator that was being worked on when `error` was raised: of the innermost function
    that has one in a variable called `node`.
    """
    found, trace = None, error.__traceback__
    while trace is not None:
        node = trace.tb_frame.f_locals.get("node")
        if isinstance(node, Node) and "nn_module_stack" in node.meta:
            found = node
        trace = trace.tb_next
    return found


def steps_of(graph: GraphModule) -> list[Node]:
    """The operators of the user's model, in the order in which it runs them."""
    return [
        node
        for node in graph.graph.nodes
        if node.op == "call_function" and not any(part in str(node.target) for part in _ATTACHED)
    ]


def keep_first(graph: GraphModule, count: int) -> None:
    """Leave the first `count` of `steps_of`; all that they compute and do not use becomes output,
    in a tuple.
    """
    steps, nodes = steps_of(graph), list(graph.graph.nodes)
    if count < len(steps):
        kept = nodes[: nodes.index(steps[count])]
        seen = set(kept)
        leaves = [
            node
            for node in kept
            if node.op == "call_function"
            and isinstance(node.meta.get("val"), Tensor)
            and not seen.intersection(node.users)
        ]
        nodes[-1].args = (tuple(leaves),)
        graph.graph.set_codegen(CodeGen())  # that of torch.export knows the old outputs
        graph.graph.eliminate_dead_code()
    graph.recompile()


def first_failing(fails: Callable[[int], bool], count: int, time_s: float) -> tuple[int, int]:
    """Bisection: `fails(n)` says whether the first n steps fail alone, all `count` of which do.

    Returns:
        A range of steps, from 0, with the first one that fails; of one step where the time was
        enough for that.

    """
    end = time.monotonic() + time_s
    good, bad = 0, count
    while bad - good > 1 and time.monotonic() < end:
        middle = (good + bad) // 2
        if fails(middle):
            bad = middle
        else:
            good = middle
    return good, bad
