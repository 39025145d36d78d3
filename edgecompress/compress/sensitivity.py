"""Which layers lose the most when they alone are quantised."""

from collections.abc import Callable

from torch import nn

from edgecompress.compress.capture import set_training
from edgecompress.compress.folding import WEIGHTED
from edgecompress.compress.fx import input_of, module_path
from edgecompress.compress.observers import set_phase
from edgecompress.compress.quantize import Prepared


def rank_layers(prepared: Prepared, loss: Callable[[nn.Module], float]) -> list[str]:
    """Paths of the quantised layers of a calibrated graph, the most sensitive first.

    Each is scored by the loss of the graph in which its weight and its inputs are quantised and
    everything else is in float.
    """
    graph = prepared.graph
    modules = dict(graph.named_modules())
    set_training(graph, False)
    cost: dict[str, float] = {}
    for node in graph.graph.nodes:
        if node.target not in WEIGHTED or not module_path(node):
            continue
        set_phase(graph, "float")
        for source in (input_of(node, 0), input_of(node, 1)):
            if source.op == "call_module":
                modules[str(source.target)].enable_fake_quant(True)
        cost[module_path(node)] = loss(graph)
    set_phase(graph, "frozen")
    return sorted(cost, key=lambda path: -cost[path])
