"""From the graph of `litert_file` to the bytes of a TFLite flatbuffer."""

from typing import Any

import flatbuffers
import numpy as np

from edgecompress.formats.tflite.graph import (
    Array,
    Graph,
    Operator,
    Tensor,
    enum_of,
    schema,
)

# The schema asks for it (`force_align`), so that runtimes can compute on the mapped file; the
# Python code generated from the schema does not see to it.
_DATA_ALIGNMENT = 16


def write(graph: Graph, input_names: tuple[str, ...], output_names: tuple[str, ...]) -> bytes:
    """The graph as a file with one signature; the same graph gives the same bytes."""
    return _Writer(graph).file(input_names, output_names)


class _Writer:
    """Numbers tensors, buffers and operator codes in the order in which they are met."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._schema: Any = schema()
        self._types = {name.lower(): value for name, value in enum_of(self._schema.TensorType)}
        self._builtins = dict(enum_of(self._schema.BuiltinOperator))
        self._buffers = [self._schema.BufferT()]  # the first one is empty, for all that is computed
        self._tensors: list[Any] = []
        self._indices: dict[int, int] = {}
        self._codes: dict[tuple[str, str | None], Any] = {}

    def file(self, input_names: tuple[str, ...], output_names: tuple[str, ...]) -> bytes:
        schema, graph = self._schema, self._graph
        inputs = [self._index(tensor) for tensor in graph.inputs]
        operators = [self._operator(op) for op in graph.operators]
        outputs = [self._index(tensor) for tensor in graph.outputs]
        model = schema.ModelT(
            version=3,
            description="edgecompress",
            operatorCodes=list(self._codes.values()),
            subgraphs=[
                schema.SubGraphT(
                    name="main",
                    tensors=self._tensors,
                    inputs=inputs,
                    outputs=outputs,
                    operators=operators,
                )
            ],
            signatureDefs=[
                schema.SignatureDefT(
                    signatureKey="serving_default",
                    inputs=self._names(input_names, inputs),
                    outputs=self._names(output_names, outputs),
                )
            ],
            metadata=[
                schema.MetadataT(name=name, buffer=self._buffer(np.frombuffer(data, np.uint8)))
                for name, data in graph.metadata.items()
            ],
        )
        model.buffers = self._buffers
        return _pack(model)

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
            hasRank=True,
        )
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
        made.builtinOptions = op.options
        kind = type(op.options).__name__.removesuffix("T")
        made.builtinOptionsType = (
            0 if op.options is None else getattr(self._schema.BuiltinOptions, kind)
        )
        return made

    def _code(self, op: Operator) -> int:
        # One version for all operators of a type, as the converter does it: the highest.
        key = (op.op_type, op.custom_code)
        if key not in self._codes:
            number = self._builtins[op.op_type]
            self._codes[key] = self._schema.OperatorCodeT(
                deprecatedBuiltinCode=min(number, 127),
                builtinCode=number,
                customCode=op.custom_code,
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
