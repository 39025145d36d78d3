"""From torch to the bytes that litert-torch makes of it, in its static Q/DQ mode."""

import contextlib
import linecache
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, fake, input_of, stored
from edgecompress.errors import ModelError, RuntimeMissing
from edgecompress.task.base import tensors_of

Layout = Literal["nchw", "nhwc"]

_HIGHER = torch.ops.higher_order
_CONTROL_FLOW = {_HIGHER.cond: "cond", _HIGHER.while_loop: "while_loop", _HIGHER.scan: "scan"}
# Numbers that stand for minus infinity; no activation that is worth a scale is this large.
_HUGE = 1e4


class _Static:
    """What litert-torch looks at to choose its static Q/DQ mode: `QuantConfig` reads one flag of
    the quantizer that it expects to have made the graph.
    """

    class global_config:  # noqa: N801 - its name there
        is_dynamic = False


class _Straight(nn.Module):
    """The module with flat outputs, and images in the layout that the file takes them in."""

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.module = module
        self.layout = layout
        self.training = False  # eval() is refused by exported modules

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self.layout == "nhwc":
            # contiguous(): a view() in the model must find the strides that it was written for.
            inputs = tuple(
                x.permute(0, 3, 1, 2).contiguous() if x.dim() == 4 else x for x in inputs
            )
        return tuple(tensors_of(self.module(*inputs)))


def to_flatbuffer(
    module: nn.Module, example_inputs: tuple[Tensor, ...], layout: Layout, quantized: bool
) -> bytes:
    """A TFLite file of one signature with inputs args_0, args_1, .. and outputs output_0, ..

    Args:
        module: a float module, or a converted graph with float weights -> Q -> DQ.
        example_inputs: of batch size 1, images as NCHW.
        layout: of inputs with four dimensions, in the file.
        quantized: whether `module` has Q and DQ.

    Raises:
        ModelError: control flow, or an operator that TFLite has no counterpart for.
        RuntimeMissing: litert-torch is not installed.

    """
    if layout == "nhwc":
        given = tuple(
            x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 else x for x in example_inputs
        )
    else:
        given = example_inputs
    with _quiet(), torch.no_grad():
        try:
            import litert_torch
            from litert_torch.quantize.quant_config import QuantConfig
        except ImportError as error:
            raise RuntimeMissing(
                f"litert: writing TFLite needs litert-torch ({error}); run: pip install"
                " 'edgecompress[litert]'"
            ) from None
        litert_torch.config.show_progress = False
        graph = _captured(module, example_inputs)
        config = QuantConfig(pt2e_quantizer=_Static()) if quantized else None
        straight = _Straight(graph, layout)
        try:
            edge = litert_torch.convert(straight, given, quant_config=config)
            content: bytes = edge.model_content()
        except Exception as error:
            raise ModelError(
                f"litert: the model cannot be converted: {_reason(error)}; replace that operator,"
                " or choose a target with another runtime"
            ) from error
    return content


def _captured(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> GraphModule:
    """The operators of `module`, without those that litert-torch gets wrong or does not know."""
    try:
        graph = torch.export.export(module, example_inputs).module()
    except Exception as error:
        raise ModelError(
            f"litert: torch.export cannot trace {type(module).__name__}: {_first_line(error)};"
            " remove data-dependent Python control flow from forward()"
        ) from error
    assert isinstance(graph, GraphModule)
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and "guard" in str(node.target):
            graph.graph.erase_node(node)
        elif node.target in _CONTROL_FLOW:
            raise ModelError(
                f"litert: the model has control flow ({_CONTROL_FLOW[node.target]}), which TFLite"
                " targets do not run; make forward() one straight line"
            )
        elif node.target in _REWRITES:
            _REWRITES[node.target](graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _masked(graph: GraphModule, node: Node) -> None:
    """Values replaced by a huge number get it added. litert-torch takes what replaces for data that
    is only moved, gives it the scale of the other values, and so makes -1e9 a small number.
    """
    if node.target in (ATEN.masked_fill.Scalar, ATEN.masked_fill.Tensor):
        x, mask, number = node.args
        value, replaces = _number(graph, number), True
    else:
        mask, first, second = node.args
        value, replaces = _number(graph, first), True
        x = second
        if value is None:
            value, replaces, x = _number(graph, second), False, first
    if value is None or abs(value) < _HUGE or not isinstance(x, Node):
        return
    if not fake(x).is_floating_point():
        return
    with graph.graph.inserting_before(node):
        huge, nothing = _scalar(graph, value), _scalar(graph, 0.0)
        numbers = (huge, nothing) if replaces else (nothing, huge)
        offset = graph.graph.call_function(ATEN.where.self, (mask, *numbers))
        added = graph.graph.call_function(ATEN.add.Tensor, (x, offset))
    node.replace_all_uses_with(added)


def _number(graph: GraphModule, argument: object) -> float | None:
    """Of a Python number or a constant of one element."""
    if isinstance(argument, (int, float)):
        return float(argument)
    while isinstance(argument, Node) and argument.op == "call_function":
        if argument.target not in (ATEN.lift_fresh_copy.default, ATEN.detach_.default):
            return None
        argument = argument.args[0]
    if not isinstance(argument, Node) or argument.op != "get_attr":
        return None
    value = stored(graph, argument)
    return float(value) if value.numel() == 1 else None


def _scalar(graph: GraphModule, number: float) -> Node:
    name = f"_litert_constant_{len(graph._buffers)}"
    graph.register_buffer(name, torch.tensor(number))
    return graph.graph.get_attr(name)


def _adaptive_max_pool(graph: GraphModule, node: Node) -> None:
    """To a divisor of the size: the maximum over equal windows."""
    x, wanted = input_of(node), node.args[1]
    assert isinstance(wanted, (list, tuple))
    sizes = fake(x).shape[-2:]
    if any(size % int(want) for size, want in zip(sizes, wanted, strict=True)):
        return
    window = [int(size) // int(want) for size, want in zip(sizes, wanted, strict=True)]
    with graph.graph.inserting_before(node):
        pooled = graph.graph.call_function(ATEN.max_pool2d.default, (x, window, window))
    for user in list(node.users):  # getitem: values, positions
        if user.args[1] == 0:
            user.replace_all_uses_with(pooled)


_REWRITES = {
    ATEN.masked_fill.Scalar: _masked,
    ATEN.masked_fill.Tensor: _masked,
    ATEN.where.self: _masked,
    ATEN.where.ScalarOther: _masked,
    ATEN.where.ScalarSelf: _masked,
    ATEN.adaptive_max_pool2d.default: _adaptive_max_pool,
}


def _reason(error: BaseException) -> str:
    """One line, with the torch operator where litert-torch or MLIR says which it was."""
    text = str(error)
    missing = re.search(r"Lowering not found: (\S+)", text)
    if missing:
        return f"operator {missing[1]} has no counterpart in TFLite"
    illegal = re.search(
        r"(<eval_with_key>\.\d+):(\d+):.*?failed to legalize operation '(\S+)'", text
    )
    if illegal:
        line = linecache.getline(illegal[1], int(illegal[2]))
        operator = re.search(r"torch\.ops\.([\w.]+)", line)
        return f"{operator[1] if operator else 'an operator'} ({illegal[3]}) has no TFLite kernel"
    at = re.search(r"call_function\[target=(?:torch\.ops\.)?([\w.]+)\]", text)
    return f"operator {at[1]}: {_first_line(error)}" if at else _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch, JAX, absl and the converter's C++ all report their progress, the last one straight to
    the file descriptors.
    """
    level = logging.root.manager.disable
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(logging.disable, level)
        logging.disable(logging.CRITICAL)
        sink = stack.enter_context(tempfile.TemporaryFile())
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            saved = os.dup(descriptor)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, descriptor)
            stack.callback(stream.flush)
            os.dup2(sink.fileno(), descriptor)
        yield
