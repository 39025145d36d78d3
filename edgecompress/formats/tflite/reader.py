"""Reads a TFLite file once, within bounds, from bytes that may be anything."""

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgecompress.errors import ArtifactError
from edgecompress.formats.reading import Kind, read_bytes
from edgecompress.formats.tflite.graph import (
    Array,
    Graph,
    Model,
    Operator,
    QParams,
    Signature,
    Tensor,
    enum_of,
    schema,
)
from edgecompress.formats.tflite.ops import ACTIVATIONS, CONVERSIONS, WEIGHTED

NO_OUTPUTS = frozenset({"ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "IF", "WHILE"})
"""Operators whose outputs may be none."""
KIND = Kind("a TFLite file", ".tflite", b"TFL3")
VERSION = 3
_OF_NUMPY = frozenset({
    "bool", "complex128", "complex64", "float16", "float32", "float64", "int16", "int32", "int64",
    "int8", "uint16", "uint32", "uint64", "uint8",
})  # fmt: skip


class _Damaged(Exception):
    """What the bytes say cannot be; the text completes 'not a valid TFLite file: '."""


def load(path: Path) -> Model:
    """Read a whole TFLite file.

    Raises:
        ArtifactError: missing, a folder, not TFLite, damaged, or too large.
        RuntimeMissing: ai-edge-litert, which has the format's schema, is not installed.

    """
    return parse(read_bytes(path, KIND), f"{path}: not a valid TFLite file, or cut short")


def parse(content: bytes, problem: str) -> Model:
    """Read the content of a file; the constants are views of it.

    Raises:
        ArtifactError: it is damaged, which `problem` says in the beginning.
        RuntimeMissing: as in `load`.

    """
    generated = schema()
    # On damaged bytes flatbuffers, struct and numpy raise a dozen unrelated types; all of them
    # mean the same to a user.
    try:
        return _Reader(content, generated).model()
    except Exception as error:
        detail = str(error) if isinstance(error, _Damaged) else type(error).__name__
        raise ArtifactError(
            f"{problem} ({len(content)} bytes): {detail}; export or copy it again"
        ) from None


class _Reader:
    """Walks the flatbuffer through its generated accessors.

    Only what is used is read. A file names each of its items once, four bytes or more apiece, so
    whoever asks for more items than the file has bytes has been led round in circles by damage.
    The accessors have no types, hence Any: they stay inside this class.
    """

    def __init__(self, content: bytes, schema: Any) -> None:
        self._schema = schema
        self._content = content
        self._left = len(content)
        self._root: Any = schema.Model.GetRootAs(content, 0)
        self._types = {value: name.lower() for name, value in enum_of(schema.TensorType)}
        self._builtins = {value: name for name, value in enum_of(schema.BuiltinOperator)}
        self._buffers: list[Array | None] = []
        self._codes: list[tuple[str, bool, int]] = []

    def model(self) -> Model:
        root = self._root
        if root.Version() != VERSION:
            raise _Damaged(f"its schema has version {root.Version()}, not {VERSION}")
        self._buffers = list(map(self._buffer, self._tables(root.BuffersLength(), root.Buffers)))
        codes = self._tables(root.OperatorCodesLength(), root.OperatorCodes)
        self._codes = [self._code(code) for code in codes]
        tables = list(self._tables(root.SubgraphsLength(), root.Subgraphs))
        if not tables or not tables[0].OutputsLength():
            raise _Damaged("it has no graph with outputs")
        graphs = list(map(self._graph, tables))
        named = self._tables(root.SignatureDefsLength(), root.SignatureDefs)
        return Model(graphs, [self._signature(table, tables) for table in named], self._metadata())

    def _tables(self, count: int, get: Callable[[int], Any]) -> Iterator[Any]:
        self._spend(count)
        return (get(index) for index in range(count))

    def _spend(self, count: int) -> None:
        self._left -= 4 * count
        if self._left < 0:
            raise _Damaged("it names more items than it can hold")

    def _integers(self, count: int, get: Callable[[], Any]) -> tuple[int, ...]:
        self._spend(count)
        return tuple(get().tolist()) if count else ()

    def _buffer(self, buffer: Any) -> Array | None:
        if not buffer.DataIsNone():
            data: Array = buffer.DataAsNumpy()
            return data
        first, size = buffer.Offset(), buffer.Size()
        if first <= 1:
            return None
        return np.frombuffer(self._content, np.uint8, size, first)

    def _code(self, code: Any) -> tuple[str, bool, int]:
        """Type, whether it is custom, version."""
        # Files of before 2020 know one byte of it only.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self._builtins.get(number)
        if name is None:
            raise _Damaged(f"this ai-edge-litert does not know operator {number}")
        custom = name == "CUSTOM"
        return self._text(code.CustomCode()) if custom else name, custom, code.Version()

    def _tensor(self, tensor: Any) -> Tensor:
        name, dtype = self._text(tensor.Name()), self._types.get(tensor.Type())
        shape = self._integers(tensor.ShapeLength(), tensor.ShapeAsNumpy)
        signature = self._integers(tensor.ShapeSignatureLength(), tensor.ShapeSignatureAsNumpy)
        if any(size < 0 for size in shape) or len(signature) not in (0, len(shape)):
            raise _Damaged("a tensor has sizes that cannot be")
        if dtype is None:
            raise _Damaged(f"a tensor has type {tensor.Type()}")
        data = _at(self._buffers, tensor.Buffer())
        if data is not None and (data.size > 0 or prod(shape) == 0):
            if dtype in _OF_NUMPY and tensor.Sparsity() is None:
                if data.size != prod(shape) * np.dtype(dtype).itemsize:
                    raise _Damaged(f"'{name}' has {data.size} bytes for {list(shape)} of {dtype}")
                data = data.view(dtype).reshape(shape)
            return Tensor(name, shape, dtype, data, self._qparams(tensor.Quantization(), shape))
        free = frozenset(index for index, size in enumerate(signature) if size < 0)
        shape = tuple(1 if index in free else size for index, size in enumerate(shape))
        qparams = self._qparams(tensor.Quantization(), shape)
        return Tensor(name, shape, dtype, None, qparams, free, tensor.IsVariable())

    def _qparams(self, found: Any, shape: tuple[int, ...]) -> QParams | None:
        if found is None or not found.ScaleLength():
            return None
        self._spend(found.ScaleLength())
        scale = np.array(found.ScaleAsNumpy(), np.float32)
        zeros = self._integers(found.ZeroPointLength(), found.ZeroPointAsNumpy)
        if len(zeros) not in (0, scale.size):
            raise _Damaged(f"a tensor has {scale.size} scales and {len(zeros)} zero points")
        axis = found.QuantizedDimension()
        if scale.size > 1 and scale.size != dict(enumerate(shape)).get(axis):
            raise _Damaged(f"a tensor of {list(shape)} has {scale.size} scales along axis {axis}")
        # Converters may leave the zero points out where all are 0.
        zero_point = np.array(zeros, np.int64) if zeros else np.zeros(scale.size, np.int64)
        return QParams(scale, zero_point, axis)

    def _graph(self, graph: Any) -> Graph:
        tensors = [self._tensor(t) for t in self._tables(graph.TensorsLength(), graph.Tensors)]
        inputs = self._integers(graph.InputsLength(), graph.InputsAsNumpy)
        outputs = self._integers(graph.OutputsLength(), graph.OutputsAsNumpy)
        operators = self._tables(graph.OperatorsLength(), graph.Operators)
        return Graph(
            inputs=[_at(tensors, index) for index in inputs],
            outputs=[_at(tensors, index) for index in outputs],
            operators=[self._operator(table, tensors) for table in operators],
        )

    def _operator(self, table: Any, tensors: list[Tensor]) -> Operator:
        op_type, custom, version = _at(self._codes, table.OpcodeIndex())
        inputs = self._integers(table.InputsLength(), table.InputsAsNumpy)
        outputs = self._integers(table.OutputsLength(), table.OutputsAsNumpy)
        least = 1 if op_type in CONVERSIONS else 1 + max(WEIGHTED.get(op_type, (-1,))[:2])
        if not custom and len(inputs) < least:
            raise _Damaged(f"{op_type} has no input number {least}")
        if not custom and not outputs and op_type not in NO_OUTPUTS:
            raise _Damaged(f"{op_type} has no output")
        raw = self._schema.OperatorT.InitFromObj(table)
        op = Operator(
            op_type=op_type,
            inputs=[None if index == -1 else _at(tensors, index) for index in inputs],
            outputs=[_at(tensors, index) for index in outputs],
            version=version,
            options=raw.builtinOptions2 if raw.builtinOptions is None else raw.builtinOptions,
            custom=custom,
            raw=raw,
        )
        activation = op.option("fusedActivationFunction")
        if not 0 <= activation < len(ACTIVATIONS):
            raise _Damaged(f"an operator is fused with activation {activation}")
        return op

    def _signature(self, table: Any, graphs: list[Any]) -> Signature:
        graph = _at(graphs, table.SubgraphIndex())
        return Signature(
            key=self._text(table.SignatureKey()),
            graph=table.SubgraphIndex(),
            inputs=self._ordered(
                self._tables(table.InputsLength(), table.Inputs), graph.InputsAsNumpy()
            ),
            outputs=self._ordered(
                self._tables(table.OutputsLength(), table.Outputs), graph.OutputsAsNumpy()
            ),
        )

    def _ordered(self, maps: Iterator[Any], indices: Any) -> tuple[str, ...]:
        """Names in the order of the subgraph; one tensor may go out under two names."""
        names: dict[int, list[str]] = {}
        for entry in maps:
            names.setdefault(entry.TensorIndex(), []).append(self._text(entry.Name()))
        order = [] if isinstance(indices, int) else indices.tolist()
        if sorted(order) != sorted(index for index, found in names.items() for _ in found):
            raise _Damaged("its signature does not name the graph's inputs and outputs")
        return tuple(names[index].pop(0) for index in order)

    def _metadata(self) -> dict[str, bytes]:
        found = {}
        for entry in self._tables(self._root.MetadataLength(), self._root.Metadata):
            content = _at(self._buffers, entry.Buffer())
            if content is not None and content.size:
                found[self._text(entry.Name())] = content.tobytes()
        return found

    def _text(self, text: bytes | None) -> str:
        return (text or b"").decode()


def _at(items: list[Any], index: int) -> Any:
    """Python's own indexing takes negative numbers too."""
    if not 0 <= index < len(items):
        raise _Damaged(f"it points to item {index} of {len(items)}")
    return items[index]
