"""A TFLite flatbuffer as a graph of objects that can be edited; `litert_write` writes it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecompress.errors import ModelError

Array = NDArray[np.generic]

_TYPES = {
    "float16": "float16", "float32": "float32", "float64": "float64", "bool": "bool",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "uint8": "uint8",
}  # fmt: skip


@dataclass(frozen=True)
class QParams:
    """real = scale * (stored - zero_point): arrays [1], or [C] along `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0

    def same_as(self, other: "QParams | None") -> bool:
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


def per_tensor(scale: float, zero_point: int) -> QParams:
    return QParams(np.array([scale], np.float32), np.array([zero_point], np.int64))


@dataclass(eq=False)
class Tensor:
    """Two tensors are the same only when they are one object."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """As numpy writes it."""
    data: Array | None = None
    """A constant's, in `shape`."""
    qparams: QParams | None = None


@dataclass(eq=False)
class Operator:
    op_type: str
    """As the schema calls it: CONV_2D."""
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    version: int = 1
    options: Any = None
    """What the schema generates for this operator (`Conv2DOptionsT`); it has no types."""
    custom_code: str | None = None
    raw: Any = None
    """The generated operator that it was read from, with fields that nothing here touches."""

    @property
    def data(self) -> Tensor:
        """The first input."""
        first = self.inputs[0]
        assert first is not None
        return first


@dataclass
class Graph:
    """One signature's worth: inputs and outputs are in the order of the signature."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: list[Operator]
    metadata: dict[str, bytes] = field(default_factory=dict)

    def producer(self, tensor: Tensor | None) -> Operator | None:
        return next((op for op in self.operators if tensor in op.outputs), None)

    def readers(self, tensor: Tensor) -> list[Operator]:
        return [op for op in self.operators if tensor in op.inputs]

    def only_reader(self, tensor: Tensor) -> Operator | None:
        """Who alone reads `tensor`, which does not leave the graph either."""
        readers = self.readers(tensor)
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def redirect(self, old: Tensor, new: Tensor) -> None:
        """Whoever reads `old` reads `new` from here on. `old` must not leave the graph."""
        for op in self.operators:
            op.inputs = [new if tensor is old else tensor for tensor in op.inputs]

    def drop_unused(self) -> None:
        """Remove operators that nothing reads, last first."""
        used = set(map(id, self.outputs))
        kept = []
        for op in reversed(self.operators):
            if any(id(tensor) in used for tensor in op.outputs):
                used.update(id(tensor) for tensor in op.inputs)
                kept.append(op)
        self.operators = kept[::-1]


def read(content: bytes) -> Graph:
    """The only graph of a file that the converter wrote.

    Raises:
        ModelError: it has several (control flow), or an operator without a kernel.

    """
    generated = schema()
    model = generated.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        raise ModelError(
            "the file would have control flow (several graphs), which targets do not run"
        )
    (graph,) = model.subgraphs
    types = {value: name.lower() for name, value in enum_of(generated.TensorType)}
    names = {value: name for name, value in enum_of(generated.BuiltinOperator)}
    tensors = [_tensor(tensor, model.buffers, types) for tensor in graph.tensors]
    signature = model.signatureDefs[0]
    return Graph(
        inputs=[tensors[entry.tensorIndex] for entry in _in_order(signature.inputs)],
        outputs=[tensors[entry.tensorIndex] for entry in _in_order(signature.outputs)],
        operators=[_operator(op, model.operatorCodes, names, tensors) for op in graph.operators],
        metadata={
            entry.name.decode(): model.buffers[entry.buffer].data.tobytes()
            for entry in model.metadata or []
        },
    )


def like(tensor: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    """A computed tensor of the same type and scale."""
    return replace(tensor, name=name, shape=shape, data=None)


def constant(name: str, values: object, dtype: str = "int32") -> Tensor:
    array = np.array(values, dtype)
    return Tensor(name, array.shape, dtype, array)


def integers_of(tensor: Tensor | None) -> list[int] | None:
    """The numbers of a constant, in a row; None where it is computed."""
    return None if tensor is None or tensor.data is None else tensor.data.reshape(-1).tolist()


def options(kind: str, **values: object) -> Any:
    """What the schema generates for the options of an operator, such as 'PadOptions'."""
    made = getattr(schema(), f"{kind}T")()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _in_order(entries: list[Any]) -> list[Any]:
    """The converter sorts by name, and calls them args_0 to args_10, output_0 to output_10; those
    of an exported file are in order.
    """
    numbers = [re.fullmatch(rb"(?:args|output)_(\d+)", entry.name) for entry in entries]
    if None in numbers:
        return entries
    return sorted(entries, key=lambda entry: int(entry.name.rpartition(b"_")[2]))


def schema() -> ModuleType:
    # 20,000 generated lines, of a package that only LiteRT's targets need.
    from ai_edge_litert import schema_py_generated

    module: ModuleType = schema_py_generated
    return module


def enum_of(enum: type) -> Iterator[tuple[str, int]]:
    return ((name, value) for name, value in vars(enum).items() if isinstance(value, int))


def _tensor(tensor: Any, buffers: list[Any], types: dict[int, str]) -> Tensor:
    dtype = types[tensor.type]
    shape = tuple(int(size) for size in ([] if tensor.shape is None else tensor.shape))
    found, data = tensor.quantization, buffers[tensor.buffer].data
    name = tensor.name.decode()
    if data is not None:
        if dtype not in _TYPES:
            raise ModelError(f"'{name}' has type {dtype}, which no target takes")
        data = np.frombuffer(data.tobytes(), _TYPES[dtype]).reshape(shape)
    qparams = None
    if found is not None and found.scale is not None:
        scale = np.array(found.scale, np.float32)
        zeros = [] if found.zeroPoint is None else found.zeroPoint
        # Converters may leave them out where all are 0.
        zero_point = np.array(zeros if len(zeros) else [0] * scale.size, np.int64)
        qparams = QParams(scale, zero_point, found.quantizedDimension)
    return Tensor(name, shape, dtype, data, qparams)


def _operator(op: Any, codes: list[Any], names: dict[int, str], tensors: list[Tensor]) -> Operator:
    code = codes[op.opcodeIndex]
    # Files of before 2020 know one byte of it only.
    op_type = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if op_type in ("CUSTOM", "DELEGATE") or op_type.startswith("STABLEHLO_"):
        raise ModelError(
            f"an operator of the model became {op_type}, which no target has a kernel for"
        )
    return Operator(
        op_type=op_type,
        inputs=[None if index < 0 else tensors[index] for index in op.inputs],
        outputs=[tensors[index] for index in op.outputs],
        version=code.version,
        options=op.builtinOptions,
        custom_code=None if code.customCode is None else code.customCode.decode(),
        raw=op,
    )
