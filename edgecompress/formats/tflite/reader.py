"""Reads a TFLite file once, within bounds, from bytes that may be anything."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecompress.errors import ArtifactError, RuntimeMissing
from edgecompress.formats.metadata import MAX_BYTES
from edgecompress.formats.tflite.model import (
    Model,
    Operator,
    Quantization,
    Signature,
    Subgraph,
    Tensor,
)
from edgecompress.formats.tflite.ops import ACTIVATIONS, CONVERSIONS

NO_OUTPUTS = frozenset({"ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "IF", "WHILE"})
"""Operators whose outputs may be none."""
IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every TFLite file, which is a flatbuffer."""
VERSION = 3


class _Damaged(Exception):
    """What the bytes say cannot be; the text completes 'not a valid TFLite file: '."""


def load(path: Path) -> Model:
    """Read a whole TFLite file.

    Raises:
        ArtifactError: missing, a folder, not TFLite, damaged, or too large.
        RuntimeMissing: ai-edge-litert, which has the format's schema, is not installed.

    """
    content = _read(path)
    schema = _schema(path)
    # On damaged bytes flatbuffers, struct and numpy raise a dozen unrelated types; all of them
    # mean the same to a user.
    try:
        return _Reader(content, schema).model()
    except Exception as error:
        detail = str(error) if isinstance(error, _Damaged) else type(error).__name__
        raise ArtifactError(
            f"{path}: not a valid TFLite file, or cut short ({len(content)} bytes): {detail};"
            " export or copy it again"
        ) from None


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; name the .tflite file in it")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ArtifactError(
                f"{path}: has {size / 2**30:.1f} GiB, and a TFLite file ends at 2 GiB;"
                " prune or quantise the model, or split it"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None
    if not content:
        raise ArtifactError(f"{path}: is empty; export or copy it again")
    if content[4:8] != IDENTIFIER:
        raise ArtifactError(
            f"{path}: not a TFLite file: bytes 4 to 8 are not 'TFL3'; export or copy it again"
        )
    return content


def _schema(path: Path) -> ModuleType:
    # 20,000 generated lines, of a package that only LiteRT's targets need.
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise RuntimeMissing(
            f"{path}: reading TFLite needs ai-edge-litert; run: pip install 'edgecompress[litert]'"
        ) from None
    module: ModuleType = schema_py_generated
    return module


class _Reader:
    """Walks the flatbuffer through its generated accessors.

    Only what is used is read. A file names each of its items once, four bytes or more apiece, so
    whoever asks for more items than the file has bytes has been led round in circles by damage.
    The accessors have no types, hence Any: they stay inside this class.
    """

    def __init__(self, content: bytes, schema: ModuleType) -> None:
        self._schema = schema
        self._left = len(content)
        self._root: Any = schema.Model.GetRootAs(content, 0)
        self._types = _names(schema.TensorType)
        self._builtins = _names(schema.BuiltinOperator)
        self._constants: list[bool] = []
        self._codes: list[tuple[str, bool, int]] = []

    def model(self) -> Model:
        root = self._root
        if root.Version() != VERSION:
            raise _Damaged(f"its schema has version {root.Version()}, not {VERSION}")
        self._constants = [
            bool(buffer.DataLength() or buffer.Offset() > 1)
            for buffer in self._tables(root.BuffersLength(), root.Buffers)
        ]
        codes = self._tables(root.OperatorCodesLength(), root.OperatorCodes)
        self._codes = [self._code(code) for code in codes]
        tables = list(self._tables(root.SubgraphsLength(), root.Subgraphs))
        if not tables or not tables[0].OutputsLength():
            raise _Damaged("it has no graph with outputs")
        tensors = [self._tensors(table) for table in tables]
        return Model(
            subgraphs=tuple(map(self._subgraph, tables, tensors)),
            signatures=tuple(
                self._signature(table, tables)
                for table in self._tables(root.SignatureDefsLength(), root.SignatureDefs)
            ),
            metadata=self._metadata(),
        )

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

    def _code(self, code: Any) -> tuple[str, bool, int]:
        """Type, whether it is custom, version."""
        # Files of before 2020 know one byte of it only.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self._builtins.get(number)
        if name is None:
            raise _Damaged(f"this ai-edge-litert does not know operator {number}")
        custom = name == "CUSTOM"
        return self._text(code.CustomCode()) if custom else name, custom, code.Version()

    def _tensors(self, graph: Any) -> list[Tensor]:
        return [self._tensor(t) for t in self._tables(graph.TensorsLength(), graph.Tensors)]

    def _tensor(self, tensor: Any) -> Tensor:
        shape = self._integers(tensor.ShapeLength(), tensor.ShapeAsNumpy)
        signature = self._integers(tensor.ShapeSignatureLength(), tensor.ShapeSignatureAsNumpy)
        if any(size < 0 for size in shape) or len(signature) not in (0, len(shape)):
            raise _Damaged("a tensor has sizes that cannot be")
        free = frozenset(index for index, size in enumerate(signature) if size < 0)
        dtype = self._types.get(tensor.Type())
        if dtype is None:
            raise _Damaged(f"a tensor has type {tensor.Type()}")
        return Tensor(
            name=self._text(tensor.Name()),
            shape=tuple(1 if index in free else size for index, size in enumerate(shape)),
            free=free,
            dtype=dtype.lower(),
            quantization=self._quantization(tensor.Quantization()),
            constant=_at(self._constants, tensor.Buffer()),
        )

    def _quantization(self, found: Any) -> Quantization | None:
        if found is None or not found.ScaleLength():
            return None
        self._spend(found.ScaleLength())
        scales = tuple(map(float, found.ScaleAsNumpy().tolist()))
        zeros = self._integers(found.ZeroPointLength(), found.ZeroPointAsNumpy)
        if len(zeros) not in (0, len(scales)):
            raise _Damaged(f"a tensor has {len(scales)} scales and {len(zeros)} zero points")
        return Quantization(scales, zeros or (0,) * len(scales), found.QuantizedDimension())

    def _subgraph(self, graph: Any, tensors: list[Tensor]) -> Subgraph:
        inputs = self._integers(graph.InputsLength(), graph.InputsAsNumpy)
        outputs = self._integers(graph.OutputsLength(), graph.OutputsAsNumpy)
        return Subgraph(
            inputs=tuple(_at(tensors, index) for index in inputs),
            outputs=tuple(_at(tensors, index) for index in outputs),
            operators=tuple(
                self._operator(table, tensors)
                for table in self._tables(graph.OperatorsLength(), graph.Operators)
            ),
        )

    def _operator(self, table: Any, tensors: list[Tensor]) -> Operator:
        op_type, custom, version = _at(self._codes, table.OpcodeIndex())
        inputs = self._integers(table.InputsLength(), table.InputsAsNumpy)
        outputs = self._integers(table.OutputsLength(), table.OutputsAsNumpy)
        least = 1 if op_type in CONVERSIONS else 0
        if not custom and len(inputs) < least:
            raise _Damaged(f"{op_type} has no input")
        if not custom and not outputs and op_type not in NO_OUTPUTS:
            raise _Damaged(f"{op_type} has no output")
        return Operator(
            op_type=op_type,
            custom=custom,
            version=version,
            inputs=tuple(None if index == -1 else _at(tensors, index) for index in inputs),
            outputs=tuple(_at(tensors, index) for index in outputs),
            options=self._options(table),
        )

    def _options(self, table: Any) -> dict[str, int]:
        schema = self._schema
        found = (
            schema.BuiltinOptionsCreator(table.BuiltinOptionsType(), table.BuiltinOptions()),
            schema.BuiltinOptions2Creator(table.BuiltinOptions2Type(), table.BuiltinOptions2()),
        )
        read = {
            name: int(value)
            for options in found
            if options is not None
            for name, value in vars(options).items()
            if isinstance(value, int)
        }
        activation = read.get("fusedActivationFunction", 0)
        if not 0 <= activation < len(ACTIVATIONS):
            raise _Damaged(f"an operator is fused with activation {activation}")
        return read

    def _signature(self, table: Any, graphs: list[Any]) -> Signature:
        graph = _at(graphs, table.SubgraphIndex())
        return Signature(
            key=self._text(table.SignatureKey()),
            subgraph=table.SubgraphIndex(),
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
        root = self._root
        found = {}
        for entry in self._tables(root.MetadataLength(), root.Metadata):
            if not 0 <= entry.Buffer() < len(self._constants):
                raise _Damaged("its metadata is not in it")
            buffer = root.Buffers(entry.Buffer())
            if buffer.DataLength():
                found[self._text(entry.Name())] = buffer.DataAsNumpy().tobytes()
        return found

    def _text(self, text: bytes | None) -> str:
        return (text or b"").decode()


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


def _at(items: list[Any], index: int) -> Any:
    """Python's own indexing takes negative numbers too."""
    if not 0 <= index < len(items):
        raise _Damaged(f"it points to item {index} of {len(items)}")
    return items[index]
