"""What LiteRT computes each operator of a TFLite file in, and whether a delegate takes it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import ArtifactError
from edgecompress.formats.counting import Uncountable
from edgecompress.formats.kept import NOT_QUANTISED, kept_because
from edgecompress.formats.metadata import read_kept
from edgecompress.formats.tflite.graph import Graph, Model, Operator, Tensor
from edgecompress.formats.tflite.ops import (
    CONVERSIONS,
    DEQUANTIZE,
    EIGHT_BIT,
    FLOATS,
    INT8_KERNELS,
    MOVES,
    QUANTIZE,
    compute_dtype,
    computes,
    data_inputs,
    macs_of,
    weights,
)
from edgecompress.formats.tflite.reader import load
from edgecompress.runtimes.listing import reached
from edgecompress.runtimes.litert.delegates import GPU_FLOAT16, Delegation, delegation
from edgecompress.runtimes.litert.target import DelegateName
from edgecompress.spec.measurement import DECODER, Inspection, Op

_WEIGHT = ".weight"
_REPEATING = ("WHILE", "STABLEHLO_WHILE")
_MODULE = re.compile(r"(?:.+\.)?[A-Za-z0-9]+_([^.]+)")
"""A dotted class, of which none in torch.nn has an underscore in its name, and an attribute."""


def inspect_tflite(
    path: Path,
    runtime: str,
    machine: str,
    delegate: DelegateName | None = None,
    api_level: int | None = None,
) -> Inspection:
    """List every operator with the type that it computes in and, where float, why.

    LiteRT runs the file's operators as they are, so nothing needs to be run to know.

    Args:
        path: a .tflite file.
        runtime: what to call it in the answer.
        machine: on which it will run, as uname says it.
        delegate: who is to run the operators: each tells whether the delegate's rules allow it.
            With 'gpu', everything that computes does so in float16.
        api_level: Android's, for delegate 'nnapi'.

    Returns:
        The operators of all subgraphs, in the file's order. MACs are those of one inference with
        all free dimensions 1. `between_compute` marks a QUANTIZE or DEQUANTIZE that is not at the
        model's edge.

    Raises:
        ArtifactError: the file is unreadable, or its MACs cannot be counted.
        RuntimeMissing: ai-edge-litert, which has the format's schema, is not installed.

    """
    model = load(path)
    setting = _Setting(
        path=path,
        quantised=_is_quantised(model),
        kept=read_kept(path, model.metadata),
        delegate=delegate,
        api_level=api_level,
    )
    repeated = _repeated(model)
    ops = [
        op
        for index, graph in enumerate(model.graphs)
        for op in _Lister(graph, setting, index in repeated).ops()
    ]
    return Inspection(runtime=runtime, machine=machine, ops=tuple(ops))


@dataclass(frozen=True)
class _Setting:
    """What the answers depend on besides the operator."""

    path: Path
    quantised: bool
    kept: Mapping[str, str]
    delegate: DelegateName | None
    api_level: int | None


def _is_quantised(model: Model) -> bool:
    return any(
        op.op_type in CONVERSIONS or compute_dtype(op) == "int8"
        for graph in model.graphs
        for op in graph.operators
    )


def _repeated(model: Model) -> set[int]:
    """Subgraphs that run an unknown number of times."""
    found: set[int] = set()
    todo = [op for graph in model.graphs for op in graph.operators if op.op_type in _REPEATING]
    while todo:
        for body in todo.pop().runs - found:
            found.add(body)
            if 0 <= body < len(model.graphs):
                todo.extend(model.graphs[body].operators)
    return found


class _Lister:
    """Turns the operators of one subgraph into Ops."""

    def __init__(self, graph: Graph, setting: _Setting, repeated: bool) -> None:
        self._graph = graph
        self._setting = setting
        self._repeated = repeated
        self._writers = {tensor: op for op in graph.operators for tensor in op.outputs}
        self._readers: dict[Tensor, list[Operator]] = {}
        for op in graph.operators:
            for tensor in op.inputs:
                if tensor is not None:
                    self._readers.setdefault(tensor, []).append(op)
        self._after = reached(graph.operators, self._before_it, computes)
        self._before = reached(graph.operators[::-1], self._after_it, computes)
        self._decoder = self._after_the_network() if DECODER in setting.kept else set()

    def ops(self) -> list[Op]:
        return [self._op(op) for op in self._graph.operators]

    def _op(self, op: Operator) -> Op:
        between = op in self._after and op in self._before
        taken = self._delegation(op)
        on_gpu = self._setting.delegate == "gpu" and computes(op)
        return Op(
            name=_name(op),
            op_type=op.op_type,
            dtype="float16" if on_gpu else compute_dtype(op),
            macs=self._macs(op),
            reason=GPU_FLOAT16 if on_gpu else self._reason(op),
            # What only moves or converts says nothing about a layer's type.
            module=self._module(op) if computes(op) else None,
            between_compute=op.op_type in CONVERSIONS and between,
            delegated=taken.taken,
            delegate_reason=taken.reason,
        )

    def _delegation(self, op: Operator) -> Delegation:
        if self._setting.delegate is None:
            return Delegation(None, None)
        return delegation(op, self._setting.delegate, self._setting.api_level)

    def _macs(self, op: Operator) -> int:
        where = f"{self._setting.path}: the MACs of {op.op_type} '{_name(op)}' cannot be counted"
        try:
            macs = macs_of(op)
        except Uncountable as problem:
            raise ArtifactError(f"{where}: {problem}; export the model without it") from None
        if macs and self._repeated:
            raise ArtifactError(
                f"{where}: it runs an unknown number of times, inside a WHILE; export the model"
                " with the loop unrolled"
            )
        return macs

    def _reason(self, op: Operator) -> str | None:
        dtype = compute_dtype(op)
        if op.op_type in CONVERSIONS:
            return self._why_convert(op) if dtype in FLOATS else None
        if op.op_type in MOVES:
            return self._why_move(op) if dtype in FLOATS and self._setting.quantised else None
        if dtype == "int16":
            return "its data is int16"
        return self._why_float(op) if dtype in FLOATS else None

    def _why_float(self, op: Operator) -> str:
        module = self._module(op)
        for name, why in self._setting.kept.items():
            if module is not None and _covers(name, module):
                return kept_because(why)
        weight = weights(op)
        if weight is not None and weight.dtype in EIGHT_BIT:
            return "only its weights are int8: its data is float"
        if not self._setting.quantised:
            return NOT_QUANTISED
        if op.op_type not in INT8_KERNELS:
            return f"LiteRT has no int8 kernel for {op.op_type}"
        data = data_inputs(op)
        writers = [self._writers.get(tensor) for tensor in data if not tensor.constant]
        if writers and all(
            writer is not None and writer.op_type == DEQUANTIZE for writer in writers
        ):
            return "stands between DEQUANTIZE and QUANTIZE: the converter left it in float"
        for tensor in data:
            writer = self._writers.get(tensor)
            if tensor.dtype in FLOATS and (writer is None or writer.op_type != DEQUANTIZE):
                return f"its input '{tensor.name}' is float ({_origin(tensor, writer)})"
        return "its result is float"

    def _why_convert(self, op: Operator) -> str:
        if op.op_type == DEQUANTIZE:
            source = op.inputs[0] if op.inputs else None
            reading = [reader for tensor in op.outputs for reader in self._readers.get(tensor, [])]
            if source is not None and source.constant:
                return f"unpacks stored {source.dtype} for {_list(reading)}"
            if op not in self._before:
                return "converts the model's output to float once"
            if all(reader.op_type == QUANTIZE for reader in reading):
                return "changes from one scale to another"
            return f"feeds {_list(reading)}, which is not int8"
        if op not in self._after:
            return "converts the model's float input once"
        writers = [writer for writer in self._before_it(op) if writer.op_type != DEQUANTIZE]
        return (
            f"quantises what {_list(writers)} wrote in float"
            if writers
            else "changes from one scale to another"
        )

    def _why_move(self, op: Operator) -> str:
        if op not in self._after:
            return "moves the model's float input"
        if op not in self._before:
            return "moves the model's float output"
        return f"moves what {_list(self._before_it(op))} wrote in float"

    def _module(self, op: Operator) -> str | None:
        return DECODER if op in self._decoder else _module(op)

    def _after_the_network(self) -> set[Operator]:
        """The end of the file without int8 and without a layer of the model's: no name tells of
        what these operators were.
        """
        found: set[Operator] = set()
        for op in reversed(self._graph.operators):
            layer = _layer(op)
            is_another = layer is not None and not _covers(DECODER, layer)
            if op.op_type == DEQUANTIZE or compute_dtype(op) == "int8" or is_another:
                continue
            if all(reader in found for reader in self._after_it(op)):
                found.add(op)
        return found

    def _before_it(self, op: Operator) -> list[Operator]:
        return [self._writers[t] for t in op.inputs if t is not None and t in self._writers]

    def _after_it(self, op: Operator) -> list[Operator]:
        return [reader for tensor in op.outputs for reader in self._readers.get(tensor, [])]


def _name(op: Operator) -> str:
    """TFLite's operators have none but that of what they write."""
    return op.outputs[0].name if op.outputs else op.op_type


def _list(ops: Sequence[Operator]) -> str:
    return ", ".join(dict.fromkeys(f"{op.op_type} '{_name(op)}'" for op in ops)) or "nothing"


def _origin(tensor: Tensor, writer: Operator | None) -> str:
    if writer is not None:
        return f"{writer.op_type} wrote it"
    return "a constant" if tensor.constant else "the model's own"


def _covers(module: str, path: str) -> bool:
    return path == module or path.startswith(f"{module}.")


def _module(op: Operator) -> str | None:
    """Path of the torch module, such as 'layer1.0.conv1'.

    Our exporter calls a layer's weight '<path>.weight'. Other tensors have litert-torch's names, of
    all that was fused into them: 'net.Net;;net.Net/torch.nn.modules.conv.Conv2d_conv1;2' has class
    and attribute of each module from the outermost on. Of several the longest path is taken.
    """
    layer = _layer(op)
    if layer is not None:
        return layer
    paths = [_path(name) for tensor in op.outputs for name in tensor.name.split(";")]
    return max((path for path in paths if path), key=lambda path: path.count("."), default=None)


def _layer(op: Operator) -> str | None:
    """Path of the layer whose weight it has."""
    weight = weights(op)
    if weight is None or not weight.name.endswith(_WEIGHT) or "/" in weight.name:
        return None
    return weight.name.removesuffix(_WEIGHT)


def _path(name: str) -> str:
    """'' where it is no module's."""
    found = [_MODULE.fullmatch(part) for part in name.split("/")]
    return ".".join(match.group(1) for match in found if match is not None)
