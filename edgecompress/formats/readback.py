"""Whether a file holds the numbers that torch quantised: constants, one by one.

What a damaged weight or scale does to the outputs may drown in the noise of quantising; the number
itself cannot. So every weight and bias that carries a layer's name is read back from the file, as
the runtime will read it, and compared with the converted graph; and the scales and zero points of
what enters and leaves these layers must be among the graph's. Layouts, 7-bit weights that are
doubled and unsigned integers change none of these numbers. What an exporter makes of its own accord
(a mean as a convolution, a hard-swish as an addition) has no counterpart and is not compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
import torch
from torch.fx import GraphModule, Node

from edgecompress.compress.graphs import WEIGHTED, is_dequantizer, is_quantizer, stored
from edgecompress.formats.constants import Layer, Numbers, Reals, along
from edgecompress.spec.measurement import Readback

_BIAS_SLACK = 0.75
"""Steps: half of one by rounding, and a little of a million for scales in float32."""
_RELATIVE = 1e-5
"""What a weight may be off, as a share of it. The next integer is 1 / 127 away."""
_ALIKE = 0.5
"""Cosine of the angle between two weights of one layer in the same order."""
_NEARLY = 1e-3
"""Steps from a tie."""


def read_back(held: Numbers | None, graph: GraphModule, layers: Mapping[str, str]) -> Readback:
    """Compare a file with the graph that it was made of.

    Args:
        held: what was read of the file; None where its format cannot be read back: then nothing is
            compared.
        graph: converted, as the exporter was given it.
        layers: name of a weight in `graph` -> path of the layer.

    """
    if held is None:
        return Readback(compared=0, differences=())
    trained = _of_torch(graph, layers)
    compared, differences = 0, []
    for layer in held.layers:
        # A layer that is used twice may have two weights.
        found = [
            _compare(one, layer)
            for one in trained.layers
            if one.path == layer.path and one.weight.size == layer.weight.size
        ]
        known = [wrong for wrong in found if wrong is not None]
        compared += bool(known)
        if known and all(known):
            differences.append(f"{layer.path}: {known[0]}")
    differences += [
        f"the scale {scale:g} with the zero point {zero} (of 0 to 255) is that of no activation"
        for scale, zero in sorted(held.points - trained.points)
    ]
    return Readback(compared=compared, differences=tuple(differences))


def _compare(want: Layer, have: Layer) -> str | None:
    """What is other than in torch, in words; '' for nothing.

    Returns:
        None where it cannot be told: an exporter may bring the inputs of a layer into an order of
        its own, as behind a flatten of channels that it has last. Then the outputs decide.

    """
    arranged = [weight.reshape(want.weight.shape) for weight in _arranged(want, have)]
    wrong = [_count_wrong(want, weight) for weight in arranged]
    if not wrong or min(wrong):
        alike = [n for n, weight in zip(wrong, arranged, strict=True) if _is_alike(want, weight)]
        # In whatever order its inputs are, an output has the same numbers.
        is_linear = have.weight.ndim == 2 and len(have.weight) == len(want.weight)
        rows = [_count_wrong(_by_row(want), _by_row(have).weight)] if is_linear else []
        few = [count for count in rows if count <= want.weight.size / 2]
        count = min([*alike, *few], default=None)
        if count is None:
            return None
        if count:
            return f"{count:,} of {want.weight.size:,} weights are not those that were trained"
    if want.bias is None or have.bias is None or want.bias.size != have.bias.size:
        return ""
    slack = _RELATIVE * np.abs(want.bias)
    if have.bias_step is not None:
        slack = np.maximum(slack, _BIAS_SLACK * have.bias_step)
    count = int((np.abs(want.bias - have.bias) > slack).sum())
    if not count:
        return ""
    return f"{count:,} of {want.bias.size:,} biases are not those that were trained"


def _by_row(layer: Layer) -> Layer:
    """Each output's weights in rising order."""
    rows = layer.weight.reshape(len(layer.weight), -1)
    return replace(layer, weight=np.sort(rows, axis=1), slack=None)


def _is_alike(want: Layer, have: Reals) -> bool:
    """Whether the axes are in this order, whatever is wrong with the numbers: weights in another
    order have next to nothing in common.
    """
    product = float((want.weight * have).sum())
    lengths = float(np.linalg.norm(want.weight) * np.linalg.norm(have))
    return product > _ALIKE * lengths


def _count_wrong(want: Layer, have: Reals) -> int:
    slack = _RELATIVE * np.abs(want.weight)
    if want.slack is not None:
        slack = np.maximum(slack, want.slack * (1 + _RELATIVE))
    return int((np.abs(want.weight - have) > slack).sum())


def _arranged(want: Layer, have: Layer) -> Iterator[Reals]:
    """The weight of `have` in every order of its axes that has the shape of that of `want`, where
    dimensions of 1 do not count. The kernel of a transposed convolution may be turned round.
    """
    target, given = np.squeeze(want.weight), np.squeeze(have.weight)
    for order in permutations(range(given.ndim)):
        moved = given.transpose(order)
        if moved.shape == target.shape:
            yield moved.reshape(want.weight.shape)
            if want.transposed:
                turned = np.flip(
                    moved.reshape(want.weight.shape), tuple(range(2, want.weight.ndim))
                )
                yield turned


def _of_torch(graph: GraphModule, layers: Mapping[str, str]) -> Numbers:
    found, points = [], set()
    for node in graph.graph.nodes:
        if is_quantizer(node) and not isinstance(node.args[1], Node):
            scale, zero_point, lowest = node.args[1:4]
            points.add((np.float32(scale), int(zero_point) - int(lowest)))
        dequantizer = node.args[1] if node.target in WEIGHTED else None
        if not isinstance(dequantizer, Node) or not is_dequantizer(dequantizer):
            continue
        quantizer, holder = dequantizer.args[0], dequantizer.args[0]
        if isinstance(quantizer, Node) and quantizer.op == "call_function":
            holder = quantizer.args[0]
        if not isinstance(holder, Node) or str(holder.target) not in layers:
            continue
        weight, slack = stored(graph, holder), None
        if holder is not quantizer and isinstance(quantizer, Node):
            slack = _slack(graph, quantizer, weight)
            weight = _called(graph, quantizer, weight)
        weight = _called(graph, dequantizer, weight)
        bias = node.args[2] if len(node.args) > 2 else None
        found.append(
            Layer(
                path=layers[str(holder.target)],
                weight=_reals(weight),
                bias=_reals(stored(graph, bias))
                if isinstance(bias, Node) and bias.op == "get_attr"
                else None,
                transposed=WEIGHTED[node.target] == 1,
                slack=slack,
            )
        )
    return Numbers(tuple(found), frozenset(points))


def _called(graph: GraphModule, node: Node, value: torch.Tensor) -> torch.Tensor:
    """What a Q or DQ makes of a value."""
    assert callable(node.target)
    arguments = [stored(graph, x) if isinstance(x, Node) else x for x in node.args[1:]]
    made: torch.Tensor = node.target(value, *arguments)
    return made


def _slack(graph: GraphModule, quantizer: Node, weight: torch.Tensor) -> Reals:
    """A step for each weight that is half-way between two integers, else 0."""
    given = quantizer.args[1]
    scale = np.asarray(stored(graph, given) if isinstance(given, Node) else given, np.float64)
    axis = quantizer.args[3] if scale.size > 1 else None
    steps = along(scale, weight.dim(), axis if isinstance(axis, int) else None)
    position = np.abs(_reals(weight)) / steps
    ties: Reals = np.where(np.abs(position % 1.0 - 0.5) < _NEARLY, steps, 0.0)
    return ties


def _reals(tensor: torch.Tensor) -> Reals:
    return tensor.detach().double().numpy()
