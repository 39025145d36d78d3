"""What torch does anew for every export, of the two seconds that a small model takes, and tests
export hundreds: parsing the source of 500 translations to ONNX takes half a second, and looking up
the operators that are made of others, 66 times, takes another half. In a large graph, going through
all of it for each of its nodes takes a third of the time.
"""

from functools import cache
from typing import Any

import torch
import torch._export.utils
from onnxscript.rewriter._basics import MatchResult
from onnxscript.rewriter._matcher import SimplePatternMatcher
from torch.onnx._internal.exporter._registration import ONNXRegistry


def parse_once() -> None:
    """From here on this process parses them once for each opset."""
    parse = ONNXRegistry.from_torchlib
    if not hasattr(parse, "cache_info"):
        ONNXRegistry.from_torchlib = staticmethod(cache(parse))


def look_up_once() -> None:
    """From here on this process looks them up again only when another has been registered."""
    utils = torch._export.utils
    look_up = utils._materialize_cpp_cia_ops
    if look_up.__module__ == __name__:
        return
    seen: list[str] = []

    def look_up_new() -> None:
        found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if found != seen:
            look_up()
            seen[:] = found

    utils._materialize_cpp_cia_ops = look_up_new


def compare_names_first() -> None:
    """From here on a rule with several results goes through a graph only for a node that has the
    name of its first one, which it would compare afterwards.
    """
    match = SimplePatternMatcher.match
    if match.__module__ == __name__:
        return

    def named(self: Any, model: Any, graph: Any, node: Any, **options: Any) -> Any:
        first = self.pattern.output_nodes[0]
        if first.op.matches(node.op_type) and first.domain.matches(node.domain):
            return match(self, model, graph, node, **options)
        return MatchResult().fail("another operator")

    SimplePatternMatcher.match = named


def spare() -> None:
    """All of it."""
    parse_once()
    look_up_once()
    compare_names_first()
