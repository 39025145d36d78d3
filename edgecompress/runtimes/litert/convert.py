"""From torch to the graph that litert-torch makes of it, in its static Q/DQ mode."""

import linecache
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from edgecompress.artifact import Layout
from edgecompress.errors import ArtifactError, ModelError, RuntimeMissing
from edgecompress.formats.tflite.graph import Model
from edgecompress.formats.tflite.reader import parse
from edgecompress.runtimes.conversion import ask_once_for_operators, first_line, silent
from edgecompress.runtimes.culprit import (
    first_failing,
    keep_first,
    node_in,
    place_of,
    steps_of,
)
from edgecompress.runtimes.isolated import Died, Limits, is_memory, isolated
from edgecompress.runtimes.litert.captured import captured
from edgecompress.task.base import tensors_of

# For the search of the operator at which a conversion fails.
_SEARCH_S = 120.0


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


@dataclass(frozen=True)
class Source:
    """What is converted.

    Args:
        module: a float module, or a converted graph with float weights -> Q -> DQ.
        example_inputs: of batch size 1, images as NCHW.
        layout: of inputs with four dimensions, in the file.
        quantized: whether `module` has Q and DQ.

    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    layout: Layout
    quantized: bool


class _Failed(ModelError):
    """A conversion that came to nothing; `place` is '' where nobody knows of which operator."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.place = place

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (str(self), self.place)


def to_tflite(source: Source) -> Model:
    """A model of one graph, with inputs and outputs in the order of the module's.

    Raises:
        ModelError: control flow, an operator that TFLite has no counterpart for, or the converter
            died; names the operator and the module that has it.
        RuntimeMissing: litert-torch is not installed.

    """
    _import_converter()
    try:
        return _graph(source)
    except _Failed as failure:
        place = failure.place or _culprit(source)
        raise ModelError(
            f"litert: {place}: {failure}; replace that operator, or choose a target with another"
            " runtime"
        ) from failure


def _culprit(source: Source) -> str:
    """Where the smallest part of the model ends that fails too."""

    def places() -> list[str]:
        return [place_of(node) for node in steps_of(_captured(source))]

    def fails(steps: int) -> bool:
        try:
            _graph(source, steps, Limits(_SEARCH_S))
        except _Failed:
            return True
        return False

    found = isolated(places)
    first, end = first_failing(fails, len(found), _SEARCH_S)
    return found[first] if end - first == 1 else f"{found[first]} to {found[end - 1]}"


def _graph(source: Source, steps: int | None = None, limits: Limits | None = None) -> Model:
    """What the converter makes, of the first `steps` operators only.

    Raises:
        _Failed: it fails, or dies.

    """

    def convert() -> Model:
        graph = _captured(source)
        if steps is not None:
            keep_first(graph, steps)
        return _read(_converted(graph, source))

    try:
        return isolated(convert, limits)
    except Died as death:
        raise _Failed(f"the converter died: {death}") from death


def _read(content: bytes) -> Model:
    """What the converter wrote, with inputs and outputs as the module has them: litert-torch sorts
    by name, and calls them args_0 to args_10, output_0 to output_10.

    Raises:
        _Failed: several graphs (control flow), an operator that only other programs run, or a type
            of numbers that targets have not.

    """
    try:
        model = parse(content, "the converter's own file is damaged")
    except ArtifactError as error:
        raise _Failed(str(error)) from error
    if len(model.graphs) != 1:
        raise _Failed("the file would have control flow (several graphs), which targets do not run")
    graph, (signature,) = model.graph, model.signatures
    for op in graph.operators:
        if op.custom or op.op_type == "DELEGATE" or op.op_type.startswith("STABLEHLO_"):
            raise _Failed(
                f"an operator of the model became {op.op_type}, which no target has a kernel for"
            )
        for x in op.inputs:
            if x is not None and x.data is not None and x.data.dtype.name != x.dtype:
                raise _Failed(f"'{x.name}' has type {x.dtype}, which no target takes")
    graph.inputs = [graph.inputs[place] for place in _places(signature.inputs)]
    graph.outputs = [graph.outputs[place] for place in _places(signature.outputs)]
    return model


def _places(names: tuple[str, ...]) -> list[int]:
    numbers = [int(name.rpartition("_")[2]) for name in names]
    return sorted(range(len(names)), key=numbers.__getitem__)


def _import_converter() -> None:
    """Once, so that the processes that convert are born with it."""
    try:
        with silent():
            import litert_torch
            import litert_torch.quantize.quant_config
    except ImportError as error:
        raise RuntimeMissing(
            f"litert: writing TFLite needs litert-torch ({error}); run: pip install"
            " 'edgecompress[litert]'"
        ) from None
    litert_torch.config.show_progress = False


def _captured(source: Source) -> GraphModule:
    with torch.no_grad():
        return captured(source.module, source.example_inputs, source.quantized)


def _converted(graph: GraphModule, source: Source) -> bytes:
    """Runs in a process of its own, which ends with it."""
    import litert_torch
    from litert_torch.quantize.quant_config import QuantConfig

    given = tuple(
        x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 and source.layout == "nhwc" else x
        for x in source.example_inputs
    )
    ask_once_for_operators()
    config = QuantConfig(pt2e_quantizer=_Static()) if source.quantized else None
    straight = _Straight(graph, source.layout)
    try:
        with torch.no_grad():
            edge = litert_torch.convert(straight, given, quant_config=config)
        content: bytes = edge.model_content()
    except Exception as error:
        if is_memory(error):
            raise
        node = node_in(error)
        raise _Failed(_reason(error), "" if node is None else place_of(node)) from error
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
