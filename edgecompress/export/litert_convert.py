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

import torch
from torch import Tensor, nn

from edgecompress.artifact import Layout
from edgecompress.errors import ModelError, RuntimeMissing
from edgecompress.export.litert_graph import captured, first_line
from edgecompress.task.base import tensors_of


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
        graph = captured(module, example_inputs, quantized)
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
    return f"operator {at[1]}: {first_line(error)}" if at else first_line(error)


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
