"""Which tensors are quantised, and with whom they share a scale: our PT2E Quantizer.

One pass in graph order, one rule per kind of operator (the tables below). A tensor is quantised
where an operator that has int8 kernels reads or writes it. Operators that only move data, and
those whose kernels want one scale for all their tensors (concat, max pool), share it with their
input, and are quantised only when that input is: nothing is quantised just to be moved.
"""

from collections.abc import Callable, Collection

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from edgecompress.compress.delicate import delicate
from edgecompress.compress.fake_quantize import AdjustedFakeQuantize
from edgecompress.compress.folding import (
    CONVOLUTIONS,
    BatchNorm,
    FoldingFakeQuantize,
)
from edgecompress.compress.fx import (
    fake,
    input_of,
    is_float,
    module_path,
    nodes_in,
    only_user,
    tell_name,
)
from edgecompress.compress.islands import FLOAT, FOLLOWING, MAY_WRITE_FLOAT, read_in_int8
from edgecompress.compress.masks import masked
from edgecompress.compress.observers import RangeChoice, RangeObserver, Ranges
from edgecompress.compress.operators import (
    ADDING,
    BINARY,
    BOUNDED,
    CLIPPING,
    CONCATENATING,
    ELEMENTWISE,
    PADDING,
    SHARING,
    SPLITTING,
    WEIGHTED,
)
from edgecompress.compress.units import operator_names
from edgecompress.spec.scheme import QuantizationScheme


class TargetQuantizer(Quantizer):
    """Annotates a captured graph for one quantisation scheme.

    Args:
        scheme: what the target wants; `weights.bits` resolved.
        ranges: how calibration picks an activation's range.
        keep_float: what stays in float: dotted module paths, with all inside them, and operators
            by their `units.operator_names`.

    """

    def __init__(
        self, scheme: QuantizationScheme, ranges: Ranges, keep_float: tuple[str, ...] = ()
    ) -> None:
        self.keep_float = keep_float
        self._activation = _activation_spec(scheme, ranges)
        self._bounded = _activation_spec(scheme, ranges, bounded=True)
        self._joins = scheme.joins
        self._as_read = scheme.outputs == "as_read"
        self._weight = {axis: _weight_spec(scheme, axis) for axis in (0, 1)}
        self._quantized: set[Node] = set()
        self._read: set[Node] = set()
        self._names: dict[Node, str] = {}

    def annotate(self, model: GraphModule) -> GraphModule:
        modules = dict(model.named_modules())
        self._names = operator_names(model)
        floating = delicate(model, lambda node: node.target in _RULES) | masked(model)
        if self._as_read:
            floating |= {node for node in model.graph.nodes if node.target in FLOAT}
            self._read = read_in_int8(
                model,
                lambda node: (
                    node.target in _RULES and node not in floating and not self._kept(node)
                ),
            )
        for node in model.graph.nodes:
            if Q_ANNOTATION_KEY in node.meta or not is_float(node) or node in floating:
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
        if self._names[node] in self.keep_float:
            tell_name(node, self._names[node])
            return True
        path = module_path(node)
        return any(path == name or path.startswith(f"{name}.") for name in self.keep_float)

    def _weighted(self, node: Node, modules: dict[str, torch.nn.Module]) -> None:
        x, weight = node.args[0], node.args[1]
        if not isinstance(weight, Node) or weight.op != "get_attr" or not isinstance(x, Node):
            return  # a weight that is computed has no fixed integers
        inputs = {x: self._activation, weight: self._weight[WEIGHTED[node.target]]}
        unit = [node]
        last = node
        while (following := only_user(last)) is not None and (
            isinstance(modules.get(str(following.target)), BatchNorm)
            or following.target in CLIPPING
        ):
            unit.append(following)
            last = following
            if following.target in CLIPPING:
                break
        if unit == [node] and self._writes_float(node):
            self._mark(node, inputs, None)
            return
        self._unit(unit, inputs, self._activation)

    def _elementwise(self, node: Node, modules: dict[str, torch.nn.Module]) -> None:
        inputs: dict[Node, QuantizationSpecBase | None] = dict.fromkeys(
            _operands(node), self._activation
        )
        if len(inputs) < _operand_count(node):
            return
        if node.target in BOUNDED:
            self._mark(node, inputs, self._bounded)
            return
        if self._as_read and node.target in FOLLOWING and node not in self._read:
            return
        if self._writes_float(node):
            self._mark(node, inputs, None)
            return
        output = self._activation
        if _is_residual(node, inputs):
            if self._joins == "shared":
                first, second = inputs
                output = inputs[second] = SharedQuantizationSpec((first, node))
            elif self._joins == "fused":
                self._fuse(inputs, modules)
        following = only_user(node)
        unit = [node]
        if following is not None and following.target in CLIPPING:
            unit.append(following)
        self._unit(unit, inputs, output)

    def _writes_float(self, node: Node) -> bool:
        """Whether what a layer or a product of activations puts out stays as it is."""
        return self._as_read and node.target in MAY_WRITE_FLOAT and node not in self._read

    def _fuse(
        self, terms: dict[Node, QuantizationSpecBase | None], modules: dict[str, torch.nn.Module]
    ) -> None:
        """The last of the terms that end in a convolution is added as it is."""
        for term in sorted(terms, reverse=True):
            batch_norm = isinstance(modules.get(str(term.target)), BatchNorm)
            conv = input_of(term) if batch_norm else term
            if conv.target in CONVOLUTIONS and term in self._quantized and only_user(term):
                term.meta[Q_ANNOTATION_KEY].output_qspec = None
                self._quantized.remove(term)
                del terms[term]
                return

    def _sharing(self, node: Node, _: object) -> None:
        x = node.args[0]
        if isinstance(x, Node) and x in self._quantized:
            shared = SharedQuantizationSpec((x, node))
            output = self._activation if _pads_with_a_number(node) else shared
            self._mark(node, {x: self._activation}, output)

    def _concatenating(self, node: Node, _: object) -> None:
        nodes = nodes_in(node.args[0])
        if not any(p in self._quantized for p in nodes):
            return
        kinds = {_kind(x) for x in nodes}
        if len(kinds) > 1 and ("bounded" in kinds or self._joins == "free"):
            # One scale for all would cost ONNX Runtime a Clip behind each relu among them.
            self._mark(node, dict.fromkeys(nodes, self._activation), self._activation)
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

    def _unit(
        self,
        unit: list[Node],
        inputs: dict[Node, QuantizationSpecBase | None],
        output: QuantizationSpecBase,
    ) -> None:
        """Quantise what enters the first and leaves the last; nothing in between."""
        for node in unit:
            self._mark(node, inputs if node is unit[0] else {}, None)
        unit[-1].meta[Q_ANNOTATION_KEY].output_qspec = output
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
    **dict.fromkeys(ELEMENTWISE, TargetQuantizer._elementwise),
    **dict.fromkeys(SHARING, TargetQuantizer._sharing),
    **dict.fromkeys(CONCATENATING, TargetQuantizer._concatenating),
    **dict.fromkeys(SPLITTING, TargetQuantizer._splitting),
}


def _pads_with_a_number(node: Node) -> bool:
    """Padding by another number than 0, which need not lie in the range of what is padded."""
    value = node.args[-1] if node.target in PADDING and len(node.args) > 2 else 0
    return isinstance(value, (int, float)) and value != 0


def _operand_count(node: Node) -> int:
    return 2 if node.target in BINARY else 1


def _operands(node: Node) -> list[Node]:
    """The floating-point tensors among the operands; x + x has one."""
    operands = node.args[: _operand_count(node)]
    nodes = [x for x in operands if isinstance(x, Node) and is_float(x)]
    return nodes if len(set(nodes)) == len(nodes) else []


def _is_residual(node: Node, terms: Collection[Node]) -> bool:
    """Two tensors of one shape are added, that can have any scale."""
    if node.target not in ADDING or len(terms) != 2:
        return False
    first, second = (fake(x).shape for x in terms)
    free = all(x.op != "get_attr" and _kind(x) != "bounded" for x in terms)
    return first == second and free


def _kind(node: Node) -> str:
    """What bounds the values of a tensor: tensors of one kind can share a scale."""
    while node.target in SHARING and node.target not in CLIPPING:
        node = input_of(node)
    if node.target in CONCATENATING:
        return _kind(nodes_in(node.args[0])[0])
    if node.target in CLIPPING:
        return "clipped"
    return "bounded" if node.target in BOUNDED else "free"


def _activation_spec(
    scheme: QuantizationScheme, ranges: Ranges, bounded: bool = False
) -> QuantizationSpec:
    unsigned = scheme.activations.dtype == "uint8"
    symmetric = scheme.activations.symmetric
    return _spec(
        torch.uint8 if unsigned else torch.int8,
        torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
        None,
        AdjustedFakeQuantize.with_args(
            observer=RangeObserver,
            choice=RangeChoice(ranges=ranges, scales=scheme.scales, bounded=bounded),
        ),
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
            choice=RangeChoice(
                scales=scheme.scales, limit=63 if scheme.weights.bits == 7 else 127, current=True
            ),
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
