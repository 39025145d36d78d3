"""Which tensors are quantised, and with whom they share a scale: our PT2E Quantizer.

One pass in graph order, one rule per kind of operator (the tables below). A tensor is quantised
where an operator that has int8 kernels reads or writes it. Operators that only move data, and
those whose kernels want one scale for all their tensors (concat, max pool), share it with their
input, and are quantised only when that input is: nothing is quantised just to be moved.
"""

from collections.abc import Callable

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from edgecompress.compress.capture import ATEN, module_path
from edgecompress.compress.folding import WEIGHTED, BatchNorm, FoldingFakeQuantize
from edgecompress.compress.observers import RangeObserver, Ranges
from edgecompress.spec.target import QuantizationScheme

# Activations that vanish into the range of the tensor before them.
CLIPPING = {
    ATEN.relu.default,
    ATEN.relu_.default,
    ATEN.relu6.default,
    ATEN.relu6_.default,
    ATEN.hardtanh.default,
    ATEN.hardtanh_.default,
}
# Operators with kernels of their own that read and write int8 of any scale.
_ELEMENTWISE = {
    ATEN.add.Tensor,
    ATEN.add_.Tensor,
    ATEN.mul.Tensor,
    ATEN.mul_.Tensor,
    ATEN.matmul.default,
    ATEN.bmm.default,
    ATEN.hardswish.default,
    ATEN.hardswish_.default,
    ATEN.hardsigmoid.default,
    ATEN.hardsigmoid_.default,
    ATEN.sigmoid.default,
    ATEN.sigmoid_.default,
    ATEN.leaky_relu.default,
    ATEN.leaky_relu_.default,
    ATEN.softmax.int,
    ATEN.layer_norm.default,
    ATEN.mean.dim,
    ATEN.avg_pool1d.default,
    ATEN.avg_pool2d.default,
    ATEN.adaptive_avg_pool1d.default,
    ATEN.adaptive_avg_pool2d.default,
    ATEN.upsample_bilinear2d.vec,
    ATEN.upsample_bilinear2d.default,
}
# Operators whose output has the scale of their input.
_SHARING = {
    *CLIPPING,  # where nothing before them takes them in
    ATEN.max_pool1d.default,
    ATEN.max_pool2d.default,
    ATEN.adaptive_max_pool2d.default,
    ATEN.pad.default,
    ATEN.constant_pad_nd.default,
    ATEN.slice.Tensor,
    ATEN.select.int,
    ATEN.view.default,
    ATEN.reshape.default,
    ATEN.flatten.using_ints,
    ATEN.unflatten.int,
    ATEN.permute.default,
    ATEN.transpose.int,
    ATEN.squeeze.default,
    ATEN.squeeze.dim,
    ATEN.squeeze.dims,
    ATEN.unsqueeze.default,
    ATEN.expand.default,
    ATEN.contiguous.default,
    ATEN.clone.default,
    ATEN.pixel_shuffle.default,
    ATEN.pixel_unshuffle.default,
    ATEN.channel_shuffle.default,
    ATEN.upsample_nearest1d.vec,
    ATEN.upsample_nearest2d.vec,
    ATEN.upsample_nearest2d.default,
    ATEN.dropout.default,
    ATEN.dropout_.default,
}
_CONCATENATING = {ATEN.cat.default, ATEN.concat.default, ATEN.stack.default}


class TargetQuantizer(Quantizer):
    """Annotates a captured graph for one quantisation scheme.

    Args:
        scheme: what the target wants; `weights.bits` resolved.
        ranges: how calibration picks an activation's range.
        keep_float: dotted module paths that stay in float, with all inside them.

    """

    def __init__(
        self, scheme: QuantizationScheme, ranges: Ranges, keep_float: tuple[str, ...] = ()
    ) -> None:
        self.keep_float = keep_float
        self._activation = _activation_spec(scheme, ranges)
        self._weight = {axis: _weight_spec(scheme, axis) for axis in (0, 1)}
        self._quantized: set[Node] = set()

    def annotate(self, model: GraphModule) -> GraphModule:
        modules = dict(model.named_modules())
        for node in model.graph.nodes:
            if Q_ANNOTATION_KEY in node.meta or not _is_float(node):
                continue
            if node.op == "placeholder":
                # Quantised as soon as anyone wants it so; never for its own sake.
                self._quantized.add(node)
            elif node.op == "call_function" and not self._kept(node):
                rule = _RULES.get(node.target)
                if rule is not None:
                    rule(self, node, modules)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to refuse: what has no rule stays in float, and the inspector says why."""

    def _kept(self, node: Node) -> bool:
        path = module_path(node)
        return any(path == name or path.startswith(f"{name}.") for name in self.keep_float)

    def _weighted(self, node: Node, modules: dict[str, torch.nn.Module]) -> None:
        x, weight = node.args[0], node.args[1]
        if not isinstance(weight, Node) or weight.op != "get_attr" or not isinstance(x, Node):
            return  # a weight that is computed has no fixed integers
        inputs = {x: self._activation, weight: self._weight[WEIGHTED[node.target]]}
        unit = [node]
        last = node
        while (following := _only_user(last)) is not None and (
            isinstance(modules.get(str(following.target)), BatchNorm)
            or following.target in CLIPPING
        ):
            unit.append(following)
            last = following
            if following.target in CLIPPING:
                break
        self._unit(unit, inputs)

    def _elementwise(self, node: Node, _: object) -> None:
        inputs: dict[Node, QuantizationSpecBase | None] = dict.fromkeys(
            _operands(node), self._activation
        )
        if not inputs or len(inputs) < _operand_count(node):
            return
        following = _only_user(node)
        unit = [node]
        if following is not None and following.target in CLIPPING:
            unit.append(following)
        self._unit(unit, inputs)

    def _sharing(self, node: Node, _: object) -> None:
        x = node.args[0]
        if isinstance(x, Node) and x in self._quantized:
            shared = SharedQuantizationSpec((x, node))
            self._mark(node, {x: self._activation}, shared)

    def _concatenating(self, node: Node, _: object) -> None:
        parts = node.args[0]
        assert isinstance(parts, (list, tuple))
        nodes = [p for p in parts if isinstance(p, Node)]
        if not any(p in self._quantized for p in nodes):
            return
        shared = SharedQuantizationSpec((nodes[0], node))
        inputs: dict[Node, QuantizationSpecBase | None] = dict.fromkeys(nodes, shared)
        inputs[nodes[0]] = self._activation
        self._mark(node, inputs, shared)

    def _splitting(self, node: Node, _: object) -> None:
        # chunk and split return lists; each getitem shares the scale of what was split.
        x = node.args[0]
        if not isinstance(x, Node) or x not in self._quantized:
            return
        self._mark(node, {x: self._activation}, None)
        for item in node.users:
            item.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                output_qspec=SharedQuantizationSpec((x, node)), _annotated=True
            )
            self._quantized.add(item)

    def _unit(self, unit: list[Node], inputs: dict[Node, QuantizationSpecBase | None]) -> None:
        """Quantise what enters the first and leaves the last; nothing in between."""
        for node in unit:
            self._mark(node, inputs if node is unit[0] else {}, None)
        unit[-1].meta[Q_ANNOTATION_KEY].output_qspec = self._activation
        self._quantized.add(unit[-1])

    def _mark(
        self,
        node: Node,
        inputs: dict[Node, QuantizationSpecBase | None],
        output: QuantizationSpecBase | None,
    ) -> None:
        node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=output, _annotated=True
        )
        if output is not None:
            self._quantized.add(node)


Rule = Callable[[TargetQuantizer, Node, dict[str, torch.nn.Module]], None]
_RULES: dict[object, Rule] = {
    **dict.fromkeys(WEIGHTED, TargetQuantizer._weighted),
    **dict.fromkeys(_ELEMENTWISE, TargetQuantizer._elementwise),
    **dict.fromkeys(_SHARING, TargetQuantizer._sharing),
    **dict.fromkeys(_CONCATENATING, TargetQuantizer._concatenating),
    ATEN.chunk.default: TargetQuantizer._splitting,
    ATEN.split.Tensor: TargetQuantizer._splitting,
    ATEN.split_with_sizes.default: TargetQuantizer._splitting,
}
_BINARY = {
    op
    for op in _ELEMENTWISE
    if str(op).split(".")[1] in ("add", "add_", "mul", "mul_", "matmul", "bmm")
}


def _operand_count(node: Node) -> int:
    return 2 if node.target in _BINARY else 1


def _operands(node: Node) -> list[Node]:
    """The floating-point tensors among the operands; x + x has one."""
    operands = node.args[: _operand_count(node)]
    nodes = [x for x in operands if isinstance(x, Node) and _is_float(x)]
    return nodes if len(set(nodes)) == len(nodes) else []


def _only_user(node: Node) -> Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _activation_spec(scheme: QuantizationScheme, ranges: Ranges) -> QuantizationSpec:
    unsigned = scheme.activations.dtype == "uint8"
    symmetric = scheme.activations.scheme == "symmetric"
    return _spec(
        torch.uint8 if unsigned else torch.int8,
        torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
        None,
        FakeQuantize.with_args(observer=RangeObserver, ranges=ranges, scales=scheme.scales),
    )


def _weight_spec(scheme: QuantizationScheme, axis: int) -> QuantizationSpec:
    per_channel = scheme.weights.granularity == "per_channel"
    channel = {"ch_axis": axis} if per_channel else {}
    return _spec(
        torch.int8,
        torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric,
        axis if per_channel else None,
        FoldingFakeQuantize.with_args(
            observer=RangeObserver,
            scales=scheme.scales,
            limit=64 if scheme.weights.bits == 7 else 127,
            current=True,
            **channel,
        ),
    )


def _spec(
    dtype: torch.dtype, qscheme: torch.qscheme, axis: int | None, constructor: object
) -> QuantizationSpec:
    # The full range of the type: a narrower one becomes a Clip between Q and DQ in the file.
    info = torch.iinfo(dtype)
    return QuantizationSpec(
        dtype=dtype,
        observer_or_fake_quant_ctr=constructor,
        quant_min=info.min,
        quant_max=info.max,
        qscheme=qscheme,
        ch_axis=axis,
    )
