"""A prepared graph run node by node, with some of its operators quantised and others in float."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgecompress.compress.fx import ATEN, fake, input_of
from edgecompress.compress.operators import MOVING, WEIGHTED
from edgecompress.compress.quantize import Prepared
from edgecompress.compress.units import Unit, is_quantizer, units_of

Values = Mapping[Node, Any]
_OTHER_WORK = 8
"""What an element costs that is not a sum of products, in multiplications."""


class Stepper:
    """Runs the graph of a `Prepared`, whose fake-quantizes are on."""

    def __init__(self, graph: GraphModule) -> None:
        self._graph = graph
        self._modules: dict[str, nn.Module] = dict(graph.named_modules(remove_duplicate=False))
        self._nodes = list(graph.graph.nodes)
        self._place = {node: index for index, node in enumerate(self._nodes)}
        self.quantizers = {node for node in self._nodes if is_quantizer(node, self._modules)}
        self._weights: dict[Node, Any] = {}
        self.output = self._nodes[-1]

    def run(self, inputs: tuple[Tensor, ...], *, quantised: bool) -> Values:
        """Every node's value, with all operators quantised or none."""
        values: dict[Node, Any] = {}
        given = iter(inputs)
        for node in self._nodes:
            if node.op == "placeholder":
                values[node] = next(given)
            elif node in self.quantizers:
                source = input_of(node)
                values[node] = self._quantise(node, values) if quantised else values[source]
            else:
                values[node] = self.value(node, values.__getitem__)
        return values

    def run_mixed(self, inputs: tuple[Tensor, ...], quantised: Collection[Unit]) -> Any:
        """What the model returns where only these operators are quantised.

        A tensor is quantised where an operator writes it quantised, and for those that read it so.
        """
        heads = {unit.nodes[0] for unit in quantised}
        writers = {unit.last for unit in quantised if unit.quantizer is not None}
        values: dict[Node, Any] = {}
        rounded: dict[Node, Any] = {}
        integers: set[Node] = set()

        def read(node: Node) -> Any:
            """What an operator that is quantised reads; rounded once for all of them."""
            if node not in self.quantizers:
                return values[node]
            if node not in rounded:
                rounded[node] = self._quantise(node, values)
            return rounded[node]

        given = iter(inputs)
        for node in self._nodes:
            if node.op == "placeholder":
                values[node] = next(given)
            elif node in self.quantizers:
                source = input_of(node)
                if source in writers or source in integers:
                    integers.add(node)
                    values[node] = read(node)
                else:
                    values[node] = values[source]
            elif node in heads:
                values[node] = self.value(node, read)
            else:
                values[node] = self.value(node, values.__getitem__)
                if node.target in MOVING and any(n in integers for n in node.all_input_nodes):
                    integers.add(node)
        return self._graph.graph.process_outputs(values[self.output])

    def alone(self, unit: Unit, original: Values) -> Any:
        """What `unit` puts out when it is quantised and what it reads comes from the float run."""
        values: dict[Node, Any] = {
            node: self._quantise(node, original)
            for node in unit.nodes[0].all_input_nodes
            if node in self.quantizers
        }
        for node in unit.nodes:
            values[node] = self.value(node, lambda n: values[n] if n in values else original[n])
        if unit.quantizer is None:
            return values[unit.last]
        return self._quantise(unit.quantizer, {input_of(unit.quantizer): values[unit.last]})

    def after(self, unit: Unit, value: Any, original: Values) -> Any:
        """The model's outputs where `unit` puts out `value` and all after it is in float."""
        changed: dict[Node, Any] = {unit.last: value}
        for node in self._nodes[self._place[unit.last] + 1 :]:
            if not any(source in changed for source in node.all_input_nodes):
                continue
            if node in self.quantizers:
                changed[node] = changed[input_of(node)]
            else:
                changed[node] = self.value(
                    node, lambda n: changed[n] if n in changed else original[n]
                )
        return changed.get(self.output, original[self.output])

    def _quantise(self, quantizer: Node, values: Values) -> Any:
        source = input_of(quantizer)
        module = self._modules[str(quantizer.target)]
        if source.op != "get_attr":
            return module(values[source])
        if quantizer not in self._weights:
            self._weights[quantizer] = module(values[source])
        return self._weights[quantizer]

    def value(self, node: Node, lookup: Callable[[Node], Any]) -> Any:
        """What `node` computes from the values that `lookup` has of others."""
        if node.op == "get_attr":
            return _attribute(self._graph, str(node.target))
        arguments, keywords = cast(
            tuple[tuple[Any, ...], dict[str, Any]],
            map_arg((node.args, node.kwargs), lookup),
        )
        if node.op == "output":
            return arguments[0]
        if node.op == "call_module":
            return self._modules[str(node.target)](*arguments, **keywords)
        assert callable(node.target), f"{node.name}: {node.op} is not called"
        return node.target(*arguments, **keywords)


def _attribute(graph: nn.Module, path: str) -> Any:
    value: Any = graph
    for part in path.split("."):
        value = getattr(value, part)
    return value


def work_of(prepared: Prepared) -> float:
    """About how many multiplications a run takes for one sample."""
    total = sum(_work(node) for node in prepared.graph.graph.nodes)
    # torch.export saw two samples where the batch is free.
    return total / 2 if prepared.free_batch else total


def shares_of(prepared: Prepared) -> dict[str, float]:
    """The share of that by operator, of those that are quantised."""
    total = sum(_work(node) for node in prepared.graph.graph.nodes)
    return {
        unit.name: sum(_work(node) for node in unit.nodes) / total
        for unit in units_of(prepared.graph)
    }


def _work(node: Node) -> float:
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, Tensor):
        return 0.0
    elements = 1.0
    for size in value.shape:
        elements *= int(size)
    return elements * _products(node)


def _products(node: Node) -> float:
    """Multiplications for one element of what `node` puts out."""
    if node.target in WEIGHTED:
        weight = input_of(node, 1)
        weight = weight if "val" in weight.meta else input_of(weight)
        shape = fake(weight).shape
        return float(fake(weight).numel()) / int(shape[WEIGHTED[node.target]])
    if node.target in (ATEN.matmul.default, ATEN.bmm.default):
        left = input_of(node)
        left = left if "val" in left.meta else input_of(left)
        return float(int(fake(left).shape[-1]))
    return _OTHER_WORK
