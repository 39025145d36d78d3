"""Concatenations in which eight bits leave nothing of a member.

All that meet in one have one scale. With boxes of 0 to 640 beside scores of 0 to 1 a step is 2.5,
and every score is zero. So the members of each concatenation are followed through the float graph,
on calibration data. Where the common scale loses one, and something reads it that suffers (an
output; a layer whose results change), the operators up to there stay in float, and each member has
a scale of its own before them.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Interpreter, Node

from edgecompress.compress.fx import ATEN, is_float, nodes_in
from edgecompress.compress.operators import ADDING, CONCATENATING, MULTIPLYING, SHARING, SPLITTING
from edgecompress.compress.quantize import Captured
from edgecompress.compress.sensitivity import Ratio
from edgecompress.compress.units import operator_names
from edgecompress.spec.scheme import QuantizationScheme

LEAST_DB = 26.0
"""Signal to noise of a member whose root mean square is six steps. With a scale of its own one has
35 dB and more."""
_BETTER_DB = 6.0
"""One bit, which a scale of its own must give it more."""
LEAST_RESULT_DB = 20.0
"""What is left of a layer's results when it reads a tensor in eight bits that is in float else."""
_SAMPLES = 8
_ELEMENTWISE = {
    *ADDING,
    *MULTIPLYING,
    ATEN.sub.Tensor,
    ATEN.div.Tensor,
    ATEN.sigmoid.default,
    ATEN.hardsigmoid.default,
    ATEN.hardswish.default,
    ATEN.leaky_relu.default,
    ATEN.tanh.default,
    ATEN.exp.default,
}
"""Operators that leave every number where it is, and have a scale of their own."""
_AVERAGING = {
    ATEN.mean.dim,
    ATEN.avg_pool1d.default,
    ATEN.avg_pool2d.default,
    ATEN.adaptive_avg_pool2d.default,
    ATEN.upsample_bilinear2d.vec,
}
"""Operators that put out numbers of one member alone where they read such."""
_SHAPES = {ATEN.sym_size.int}


def torn(
    traced: Captured, scheme: QuantizationScheme, batches: Iterable[tuple[Tensor, ...]]
) -> dict[str, str]:
    """Operators to keep in float, by `operator_names`, each with the reason.

    Args:
        traced: the model in float.
        scheme: what eight bits would be.
        batches: inputs of calibration; eight samples are looked at.

    """
    graph = traced.graph
    if not any(node.target in CONCATENATING for node in graph.graph.nodes):
        return {}
    follower = _Follower(graph, scheme.activations.symmetric)
    with torch.no_grad():
        for inputs in _samples(batches):
            follower.run(*inputs)
    names = operator_names(graph)
    return {names[node]: reason for node, reason in _Harm(follower, names).to_keep().items()}


def _samples(batches: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
    """One by one: of all tensors of a run it is noted which member each number belongs to."""
    single = (tuple(x[i : i + 1] for x in batch) for batch in batches for i in range(len(batch[0])))
    return islice(single, _SAMPLES)


class _Members:
    """What was seen of a tensor that shows the members of a concatenation; [count] each."""

    def __init__(self, count: int) -> None:
        self.low, self.high, self.signal, self.numbers = torch.zeros(4, count).double()

    def add(self, values: Tensor, labels: Tensor) -> None:
        """`labels` are the members' indices, a float for each value."""
        x, at = values.double().reshape(-1), labels.reshape(-1).long()
        x = torch.where(x.isfinite(), x, 0.0)
        self.low = self.low.scatter_reduce(0, at, x, "amin")
        self.high = self.high.scatter_reduce(0, at, x, "amax")
        self.signal = self.signal.scatter_add(0, at, x.square())
        self.numbers = self.numbers.scatter_add(0, at, torch.ones_like(x))

    def lost(self, symmetric: bool) -> dict[int, float]:
        """Members of which too little is left, and how much, in dB."""
        left = self._decibels(self.step(symmetric))
        own = self._decibels(_step(self.low, self.high, symmetric))
        limit = torch.clamp(own - _BETTER_DB, max=LEAST_DB)
        return {int(i): float(left[i]) for i in (left < limit).nonzero()}

    def step(self, symmetric: bool) -> Tensor:
        """The step when all have one scale of eight bits."""
        return _step(self.low.min(), self.high.max(), symmetric)

    def span(self, index: int) -> str:
        return f"{float(self.low[index]):.3g} to {float(self.high[index]):.3g}"

    def _decibels(self, step: Tensor) -> Tensor:
        # Rounding costs step^2 / 12 of each number, but no more than all of it.
        noise = torch.minimum(self.numbers * step.square() / 12, self.signal)
        return 10 * torch.log10(self.signal / noise)  # nan where a member is zero: not less


def _step(low: Tensor, high: Tensor, symmetric: bool) -> Tensor:
    return torch.maximum(-low, high) / 127 if symmetric else (high - low) / 255


class _Shown(NamedTuple):
    """Which member each number of a tensor belongs to in one run, and which node has its scale."""

    labels: Any
    scale: Node


class _Follower(Interpreter):
    """Runs a graph in float, and notes what eight bits would leave of each tensor's members."""

    def __init__(self, graph: GraphModule, symmetric: bool) -> None:
        super().__init__(graph)
        self.symmetric = symmetric
        self.members: dict[Node, _Members] = {}
        self.scales: dict[Node, Node] = {}
        """For each tensor that shows members the node that it shares its scale with."""
        self.results: dict[Node, Ratio] = {}
        """Results of operators that mix members, when they read a tensor in eight bits."""
        self._shown: dict[Node, _Shown] = {}

    @property
    def nodes(self) -> list[Node]:
        assert isinstance(self.module, GraphModule)
        return list(self.module.graph.nodes)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self._shown = {}
        return super().run(*args, **kwargs)

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function" and is_float(n):
            shown = self._follow(n, value)
            if shown is not None:
                self._shown[n] = shown
                self._note(n, value, shown)
            elif any(source in self._shown for source in n.all_input_nodes):
                self._compare(n, value)
        return value

    def lost(self, node: Node) -> dict[int, float]:
        """Members of a tensor that its scale loses."""
        if node not in self.members:
            return {}
        lost = self.members[self.scales[node]].lost(self.symmetric)
        return {i: left for i, left in lost.items() if self.members[node].numbers[i] > 0}

    def _follow(self, n: Node, value: Any) -> _Shown | None:
        if n.target in CONCATENATING:
            return _Shown(self._labels_of_all(n), n)
        sources = [source for source in n.all_input_nodes if source in self._shown]
        if not sources:
            return None
        labels, scale = self._shown[sources[0]]
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.target in SHARING | SPLITTING or not isinstance(n.target, OpOverload):
            return (
                _Shown(_moved(n, labels, args, kwargs), scale) if n.args[0] is sources[0] else None
            )
        if n.target in _ELEMENTWISE and isinstance(value, Tensor):
            same = labels.dim() <= value.dim() and value.numel() >= labels.numel()
            return _Shown(labels.expand_as(value), n) if same else None
        if n.target in _AVERAGING:
            averaged = n.target(labels, *args[1:], **kwargs)
            squared = n.target(labels.square(), *args[1:], **kwargs)
            mixes = not torch.allclose(averaged.square(), squared, atol=1e-3)
            return None if mixes else _Shown(averaged.round(), n)
        return None

    def _labels_of_all(self, n: Node) -> Tensor:
        labels, count = [], 0
        for source in nodes_in(n.args[0]):
            inner = self._shown.get(source)
            shape = torch.zeros_like(self.env[source])
            labels.append(shape + count if inner is None else inner.labels + count)
            count += 1 if inner is None else int(inner.labels.max()) + 1
        assert callable(n.target)
        result: Tensor = n.target(labels, *n.args[1:], **n.kwargs)
        return result

    def _note(self, n: Node, value: Any, shown: _Shown) -> None:
        if not isinstance(value, Tensor):
            return  # each part of it will be noted
        self.scales[n] = shown.scale
        known = self.members.get(shown.scale)
        count = int(shown.labels.max()) + 1 if known is None else len(known.low)
        self.members.setdefault(n, _Members(count)).add(value, shown.labels)

    def _compare(self, n: Node, value: Any) -> None:
        """Note what is left of a result when each tensor that lost a member is in eight bits."""
        rounded = {}
        for source in n.all_input_nodes:
            if self.lost(source):
                step = self.members[self.scales[source]].step(self.symmetric)
                rounded[source] = torch.round(self.env[source] / step) * step
        if not rounded or not callable(n.target):
            return
        arguments = torch.fx.node.map_arg(
            (n.args, dict(n.kwargs)), lambda x: rounded[x] if x in rounded else self.env[x]
        )
        self.results.setdefault(n, Ratio()).add(value, n.target(*arguments[0], **arguments[1]))


def _moved(n: Node, labels: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    assert callable(n.target), "it calls a function"
    moved = n.target(labels, *args[1:], **kwargs)
    return moved[0] if n.target is ATEN.adaptive_max_pool2d.default else moved


class _Harm:
    """Where a lost member matters."""

    def __init__(self, follower: _Follower, names: dict[Node, str]) -> None:
        self._follower = follower
        self._names = names
        self._known: dict[Node, bool] = {}

    def to_keep(self) -> dict[Node, str]:
        kept: dict[Node, str] = {}
        for node in self._follower.nodes:
            lost = self._follower.lost(node) if node.target in CONCATENATING else {}
            if lost and self._reaches(node):
                reason = self._reason(node, lost)
                kept.update(dict.fromkeys(self._between(node), reason) | kept | {node: reason})
        return kept

    def _reason(self, node: Node, lost: dict[int, float]) -> str:
        members = self._follower.members[node]
        worst = min(lost, key=lambda index: lost[index])
        widest = int((members.high - members.low).argmax())
        return (
            f"one scale for all that '{self._names[node]}' joins leaves {lost[worst]:.1f} dB of a"
            f" member of {members.span(worst)} beside one of {members.span(widest)}"
        )

    def _reaches(self, node: Node) -> bool:
        """Whether anything that reads this tensor suffers."""
        if node not in self._known:
            self._known[node] = False
            self._known[node] = any(self._suffers(user, node) for user in node.users)
        return self._known[node]

    def _suffers(self, user: Node, source: Node) -> bool:
        if user.op == "output":
            return True
        if user.target in _SHAPES:
            return False
        if user in self._follower.results:
            left = self._follower.results[user].db
            return left is not None and left < LEAST_RESULT_DB
        if isinstance(user.meta.get("val"), (list, tuple)):
            return self._reaches(user)
        if user not in self._follower.members:
            return not is_float(user)  # a comparison, or a position of a largest value
        shares = self._follower.scales[user] is not user
        if shares or self._follower.lost(user):
            return bool(self._follower.lost(user)) and self._reaches(user)
        return bool(self._follower.lost(source))

    def _between(self, node: Node) -> Iterator[Node]:
        """The operators from here to what suffers, that would have a scale for what they read."""
        yield node
        for user in node.users:
            if user.op != "call_function" or not self._suffers(user, node):
                continue
            shares = self._follower.scales.get(user, user) is not user
            if shares or user.target in SPLITTING:
                yield from (other for other in self._between(user) if other is not user)
            elif self._follower.lost(user):
                yield from self._between(user)
            else:
                yield user
