"""Which of a user's modules can be written anew (rewrite.py)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgecompress.compress.capture import capture
from edgecompress.compress.fx import ATEN, fake, integers_in, module_paths
from edgecompress.compress.operators import PADDING
from edgecompress.compress.probe import Inputs, distance, probes, run_all
from edgecompress.compress.rewrite import AttentionRewrite, PadRewrite, Rewrite, rewritten
from edgecompress.compress.verify import NOISE

_END = 2**62
"""More than any size: torch.export writes the largest integer for an end that Python left out."""


def find_rewrites(model: nn.Module, example_inputs: Inputs) -> dict[str, Rewrite]:
    """Modules that can be written anew, by name: those with which the model computes the same.

    Raises:
        ModelError: the model cannot be traced or copied.

    """
    graph, _ = capture(model, example_inputs)
    tried = probes(model, example_inputs)
    wanted = run_all(model, tried, torch.float32)
    found: dict[str, Rewrite] = {}
    for name, rewrite in (*_attentions(model), *_shortcuts(graph)):
        try:
            same = run_all(rewritten(model, {name: rewrite}), tried, torch.float32)
        except Exception:  # noqa: S112
            # The user's forward() may want anything of its own module: then it stays.
            continue
        if distance(same, wanted) <= NOISE[torch.float32]:
            found[name] = rewrite
    return found


def _attentions(model: nn.Module) -> Iterator[tuple[str, Rewrite]]:
    for name, module in model.named_modules():
        is_plain = type(module) is nn.MultiheadAttention and name
        if is_plain and module.bias_k is None and not module.add_zero_attn:
            yield name, AttentionRewrite()


def _shortcuts(graph: GraphModule) -> Iterator[tuple[str, Rewrite]]:
    """Modules that do nothing but take every few positions and add channels of zeros."""
    calls: dict[str, list[Node]] = {}
    for node in graph.graph.nodes:
        if node.op == "call_function" and isinstance(node.meta.get("val"), Tensor):
            for path in filter(None, module_paths(node)):
                calls.setdefault(path, []).append(node)
    for path, nodes in calls.items():
        rewrite = _as_shortcut(nodes)
        if rewrite is not None:
            yield path, rewrite


def _as_shortcut(nodes: list[Node]) -> PadRewrite | None:
    *slices, last = nodes
    if last.target not in PADDING or any(node.target != ATEN.slice.Tensor for node in slices):
        return None
    dims = fake(last).dim()
    widths = integers_in(last.args[1])
    widths += [0] * (2 * (dims - 1) - len(widths))
    if dims < 3 or len(widths) != 2 * (dims - 1) or any(widths[:-2]) or min(widths) < 0:
        return None
    steps = [1] * dims
    for node in slices:
        defaults = (None, 0, None, None, 1)
        dim, start, end, step = (*node.args, *defaults[len(node.args) :])[1:]
        if start not in (None, 0) or (isinstance(end, int) and end < _END):
            return None
        if not isinstance(dim, int) or not isinstance(step, int):
            return None
        steps[dim] *= step
    if steps[0] != 1 or steps[1] != 1:
        return None
    return PadRewrite(steps=tuple(steps[2:]), before=widths[-2], after=widths[-1])
