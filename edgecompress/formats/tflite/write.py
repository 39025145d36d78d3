"""From a model to the bytes of a TFLite flatbuffer."""

from typing import Any

import flatbuffers
import numpy as np

from edgecompress.formats.tflite.graph import (
    Array,
    Graph,
    Model,
    Operator,
    Tensor,
    enum_of,
    schema,
)

# The schema asks for it (`force_align`), so that runtimes can compute on the mapped file; the
# Python code generated from the schema does not see to it.
_DATA_ALIGNMENT = 16


def write(model: Model) -> bytes:
    """The content of a file; the same model gives the same bytes."""
    return _Writer(model).file()


class _Writer:
    """Numbers tensors, buffers and operator codes in the order in which they are met."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._schema: Any = schema()
        self._types = {name.lower(): value for name, value in enum_of(self._schema.TensorType)}
        self._builtins = dict(enum_of(self._schema.BuiltinOperator))
        self._buffers = [self._schema.BufferT()]  # the first one is empty, for all that is computed
        self._tensors: list[Any] = []
        self._indices: dict[int, int] = {}
        self._codes: dict[tuple[str, bool], Any] = {}

    def file(self) -> bytes:
        schema, given = self._schema, self._model
        graphs = [self._graph(graph, index) for index, graph in enumerate(given.graphs)]
        model = schema.ModelT(
            version=3,
            description="edgecompress",
            operatorCodes=list(self._codes.values()),
            subgraphs=graphs,
            signatureDefs=[
                schema.SignatureDefT(
                    signatureKey=signature.key,
                    subgraphIndex=signature.graph,
                    inputs=self._names(signature.inputs, graphs[signature.graph].inputs),
                    outputs=self._names(signature.outputs, graphs[signature.graph].outputs),
                )
                for signature in given.signatures
            ],
            metadata=[
                schema.MetadataT(name=name, buffer=self._buffer(np.frombuffer(data, np.uint8)))
                for name, data in given.metadata.items()
            ],
        )
        model.buffers = self._buffers
        return _pack(model)

    def _graph(self, graph: Graph, number: int) -> Any:
        self._tensors, self._indices = [], {}
        inputs = [self._index(tensor) for tensor in graph.inputs]
        operators = [self._operator(op) for op in graph.operators]
        outputs = [self._index(tensor) for tensor in graph.outputs]
        return self._schema.SubGraphT(
            name=f"body_{number}" if number else "main",
            tensors=self._tensors,
            inputs=inputs,
            outputs=outputs,
            operators=operators,
        )

    def _names(self, names: tuple[str, ...], indices: list[int]) -> list[Any]:
        return [
            self._schema.TensorMapT(name=name, tensorIndex=index)
            for name, index in zip(names, indices, strict=True)
        ]

    def _index(self, tensor: Tensor | None) -> int:
        if tensor is None:
            return -1
        if id(tensor) not in self._indices:
            self._indices[id(tensor)] = len(self._tensors)
            self._tensors.append(self._tensor(tensor))
        return self._indices[id(tensor)]

    def _tensor(self, tensor: Tensor) -> Any:
        schema, qparams = self._schema, tensor.qparams
        made = schema.TensorT(
            shape=np.array(tensor.shape, np.int32),
            type=self._types[tensor.dtype],
            buffer=0 if tensor.data is None else self._buffer(tensor.data),
            name=tensor.name,
            isVariable=tensor.variable,
            hasRank=True,
        )
        if tensor.free:
            sizes = enumerate(tensor.shape)
            made.shapeSignature = [-1 if axis in tensor.free else size for axis, size in sizes]
        if qparams is not None:
            made.quantization = schema.QuantizationParametersT(
                scale=qparams.scale,
                zeroPoint=qparams.zero_point,
                quantizedDimension=qparams.axis,
            )
        return made

    def _buffer(self, data: Array) -> int:
        content = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self._buffers.append(self._schema.BufferT(data=content))
        return len(self._buffers) - 1

    def _operator(self, op: Operator) -> Any:
        made = self._schema.OperatorT() if op.raw is None else op.raw
        made.opcodeIndex = self._code(op)
        made.inputs = [self._index(tensor) for tensor in op.inputs]
        made.outputs = [self._index(tensor) for tensor in op.outputs]
        kind = type(op.options).__name__.removesuffix("T")
        if not hasattr(self._schema.BuiltinOptions2, kind):
            made.builtinOptions = op.options
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind, 0)
        return made

    def _code(self, op: Operator) -> int:
        # One version for all operators of a type, as the converter does it: the highest.
        key = (op.op_type, op.custom)
        if key not in self._codes:
            number = self._builtins["CUSTOM" if op.custom else op.op_type]
            self._codes[key] = self._schema.OperatorCodeT(
                deprecatedBuiltinCode=min(number, 127),
                builtinCode=number,
                customCode=op.op_type if op.custom else None,
                version=op.version,
            )
        code = self._codes[key]
        code.version = max(code.version, op.version)
        return list(self._codes).index(key)


def _pack(model: Any) -> bytes:
    builder = _AligningBuilder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _AligningBuilder(flatbuffers.Builder):
    """The generated code starts vectors with this; those of bytes are the tensors' data."""

    def StartVector(self, size: int, count: int, alignment: int) -> object:  # noqa: N802 - its name
        return super().StartVector(size, count, _DATA_ALIGNMENT if size == 1 else alignment)
