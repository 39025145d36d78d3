"""A calibrated graph run in float and quantised over the same data, one layer after another.

Each layer can be changed when it is reached: what follows it is computed with the change, and what
it reads is what the layers before it, changed already, really give. One pass does for the whole
network; values that nobody reads any more are dropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.folding import BatchNorm, FoldingFakeQuantize
from edgecompress.compress.fx import (
    ATEN,
    fake,
    has_one_reader,
    input_of,
    only_user,
    optional_input,
    stored,
)
from edgecompress.compress.modes import set_training
from edgecompress.compress.operators import CLIPPING, WEIGHTED
from edgecompress.compress.quantize import Prepared
from edgecompress.compress.stepping import Stepper
from edgecompress.compress.units import operator_names

_MEMORY = 2**28
"""Bytes that the largest tensor of the graph may take for all samples together."""


@dataclass(frozen=True)
class Layer:
    """A quantised convolution or linear layer of a prepared graph, and what its kernel takes in."""

    name: str
    """As `keep_float` takes it."""
    node: Node
    weight: nn.Parameter
    bias: Tensor | None
    shares_bias: bool
    """Whether others read the bias too."""
    batch_norm: BatchNorm | None
    activation: Node | None
    """The ReLU or clip behind it."""
    fake_quantize: FoldingFakeQuantize
    nodes: tuple[Node, ...]
    """The operator, its batch norm and its activation."""

    @property
    def own_bias(self) -> Tensor | None:
        """What can be added to its sums without a change for any other layer."""
        if self.batch_norm is not None:
            return self.batch_norm.bias
        return None if self.shares_bias else self.bias

    @property
    def is_linear(self) -> bool:
        """Whether its output channels are the last dimension, and not the second."""
        return self.node.target is ATEN.linear.default

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """What it computes up to its activation, [N, C, ..] or [.., C]."""
        assert callable(self.node.target), f"{self.node.name}: not an operator"
        rest = self.node.args[3:]
        y: Tensor = self.node.target(x, weight, self.bias, *rest)
        return y if self.batch_norm is None else self.batch_norm(y)

    def activated(self, sums: Tensor) -> Tensor:
        if self.activation is None:
            return sums
        assert callable(self.activation.target), f"{self.activation.name}: not an operator"
        y: Tensor = self.activation.target(sums, *self.activation.args[1:])
        return y


@dataclass(frozen=True)
class Seen:
    """What a layer reads and should give, over all samples."""

    inputs: Tensor
    """[N, ..], as the quantised layers before it give them."""
    wanted: Tensor
    """What the layer gives in float up to its activation, of inputs in float."""


def layers_of(graph: GraphModule) -> tuple[Layer, ...]:
    """The layers whose weight and input are quantised, in the order in which they run; without
    those that share a weight.
    """
    modules = dict(graph.named_modules(remove_duplicate=False))
    names = operator_names(graph)
    found = []
    for node in graph.graph.nodes:
        if node.target not in WEIGHTED:
            continue
        holder = input_of(node, 1)
        fake_quantize = modules.get(str(holder.target))
        if not isinstance(fake_quantize, FoldingFakeQuantize) or only_user(holder) is None:
            continue
        if not has_one_reader(input_of(holder)):
            continue
        weight = stored(graph, input_of(holder))
        assert isinstance(weight, nn.Parameter), f"{node.name}: its weight is no parameter"
        bias = optional_input(node, 2)
        batch_norm, activation = _taken_in(node, modules)
        nodes = [node, *(n for n in (batch_norm, activation) if n is not None)]
        module = None if batch_norm is None else modules[str(batch_norm.target)]
        assert module is None or isinstance(module, BatchNorm)
        found.append(
            Layer(
                name=names[node],
                node=node,
                weight=weight,
                bias=None if bias is None else stored(graph, bias),
                shares_bias=bias is not None and not has_one_reader(bias),
                batch_norm=module,
                activation=activation,
                fake_quantize=fake_quantize,
                nodes=tuple(nodes),
            )
        )
    return tuple(found)


def walk(
    prepared: Prepared,
    batches: Sequence[tuple[Tensor, ...]],
    visit: Callable[[Layer, Seen], None],
) -> None:
    """Call `visit` with every layer, in the order in which they run; it may change the layer's
    weight and bias in place. The graph is left quantising, in eval mode.

    Args:
        prepared: calibrated.
        batches: of inputs, alike but for the first dimension, because what a layer sees of them is
            joined; as many samples of them are used as fit into memory.
        visit: is called without gradients.

    """
    graph = prepared.graph
    set_training(graph, False)
    CalibrationRun(graph).freeze()
    with torch.no_grad():
        _Walk(graph, _affordable(prepared, batches)).run(visit)


class _Walk:
    def __init__(self, graph: GraphModule, batches: Sequence[tuple[Tensor, ...]]) -> None:
        self._batches = batches
        self._modules: dict[str, nn.Module] = dict(graph.named_modules(remove_duplicate=False))
        self._stepper = Stepper(graph)
        self._nodes = list(graph.graph.nodes)
        self._layers = {layer.node: layer for layer in layers_of(graph)}
        self._original: dict[Node, list[Any]] = {}
        self._quantised: dict[Node, list[Any]] = {}
        last_reader = {n: reader for reader in self._nodes for n in reader.all_input_nodes}
        self._dropped: dict[Node, list[Node]] = {}
        for node, reader in last_reader.items():
            self._dropped.setdefault(reader, []).append(node)

    def run(self, visit: Callable[[Layer, Seen], None]) -> None:
        inputs = 0
        for node in self._nodes:
            if node.op == "placeholder":
                values = [batch[inputs] for batch in self._batches]
                self._original[node] = self._quantised[node] = values
                inputs += 1
            elif node in self._stepper.quantizers:
                self._quantise(node)
            else:
                layer = self._layers.get(node)
                # All of it, before any of it is changed.
                for each in (node,) if layer is None else layer.nodes:
                    if each not in self._original:
                        self._original[each] = self._values(each, self._original)
                if layer is not None:
                    visit(layer, self._seen(layer))
                    changed = layer.fake_quantize(layer.weight)
                    self._quantised[input_of(node, 1)] = [changed] * len(self._batches)
                self._quantised[node] = self._values(node, self._quantised)
            for old in self._dropped.get(node, ()):
                del self._original[old], self._quantised[old]

    def _quantise(self, node: Node) -> None:
        source, module = input_of(node), self._modules[str(node.target)]
        self._original[node] = self._original[source]
        values = self._quantised[source]
        if source.op == "get_attr":
            self._quantised[node] = [module(values[0])] * len(values)
        else:
            self._quantised[node] = [module(value) for value in values]

    def _values(self, node: Node, known: dict[Node, list[Any]]) -> list[Any]:
        if node.op == "get_attr":
            return [self._stepper.value(node, known.__getitem__)] * len(self._batches)
        return [
            self._stepper.value(node, lambda n, i=index: known[n][i])  # type: ignore[misc]
            for index in range(len(self._batches))
        ]

    def _seen(self, layer: Layer) -> Seen:
        sums = layer.nodes[-1] if layer.activation is None else layer.nodes[-2]
        return Seen(
            inputs=torch.cat(self._quantised[input_of(layer.node)]),
            wanted=torch.cat(self._original[sums]),
        )


def _taken_in(node: Node, modules: dict[str, nn.Module]) -> tuple[Node | None, Node | None]:
    """The batch norm and the activation that follow `node` alone."""
    following = only_user(node)
    batch_norm = None
    if following is not None and isinstance(modules.get(str(following.target)), BatchNorm):
        batch_norm, following = following, only_user(following)
    clips = following is not None and following.target in CLIPPING
    return batch_norm, following if clips else None


def _affordable(
    prepared: Prepared, batches: Sequence[tuple[Tensor, ...]]
) -> list[tuple[Tensor, ...]]:
    """The first samples of the batches, as many as fit; where the graph fixes its batch, each is
    one of its own.
    """
    sizes = [
        fake(node).numel() * 4
        for node in prepared.graph.graph.nodes
        if node.op == "call_function" and isinstance(node.meta.get("val"), Tensor)
    ]
    # torch.export saw two samples where the batch is free.
    largest = max((int(size) for size in sizes), default=4) / (2 if prepared.free_batch else 1)
    left = max(1, int(_MEMORY / largest))
    kept: list[tuple[Tensor, ...]] = []
    for batch in batches:
        taken = tuple(x[:left] for x in batch)
        left -= len(taken[0])
        if prepared.free_batch:
            kept.append(taken)
        else:
            kept += [tuple(x[i : i + 1] for x in taken) for i in range(len(taken[0]))]
        if left <= 0:
            break
    return kept
