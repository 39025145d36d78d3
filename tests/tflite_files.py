"""Small real TFLite files, built operator by operator with the schema's own object API."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

Named = Mapping[str, str]


class FileBuilder:
    """Each method returns the name of the tensor it made."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._buffers = [schema.BufferT()]
        self._codes: list[Any] = []
        self._tensors: list[Any] = []
        self._index: dict[str, int] = {}
        self._operators: list[Any] = []
        self._bodies: list[Any] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "int8",
        scale: float | Sequence[float] | None = 0.0625,
        zero_point: int = 0,
        data: np.ndarray | None = None,
        dimension: int = 0,
    ) -> str:
        """-1 in `shape` is free. Only int8 and int32 tensors get the scale."""
        free = any(size < 0 for size in shape)
        made = schema.TensorT(
            name=name,
            shape=[max(size, 1) for size in shape],
            shapeSignature=list(shape) if free else None,
            type=getattr(schema.TensorType, dtype.upper()),
            hasRank=True,
        )
        if data is not None:
            made.buffer = self._buffer(data.tobytes())
        if scale is not None and dtype in ("int8", "uint8", "int32"):
            scales = np.atleast_1d(scale)
            made.quantization = schema.QuantizationParametersT(
                scale=scales.tolist(),
                zeroPoint=[zero_point] * scales.size,
                quantizedDimension=dimension,
            )
        self._index[name] = len(self._tensors)
        self._tensors.append(made)
        return name

    def integers(self, name: str, values: Any) -> str:
        array = np.asarray(values, np.int32)
        return self.tensor(name, array.shape, "int32", None, data=array)

    def op(
        self,
        op_type: str,
        inputs: Sequence[str | None],
        outputs: Sequence[str],
        version: int = 1,
        options: Any = None,
    ) -> str:
        """The first output. Names of no builtin operator make a custom one."""
        builtin = getattr(schema.BuiltinOperator, op_type, schema.BuiltinOperator.CUSTOM)
        custom = op_type if builtin == schema.BuiltinOperator.CUSTOM else None
        self._codes.append(
            schema.OperatorCodeT(
                deprecatedBuiltinCode=min(builtin, 127),
                builtinCode=builtin,
                version=version,
                customCode=custom,
            )
        )
        made = schema.OperatorT(
            opcodeIndex=len(self._codes) - 1,
            inputs=[-1 if name is None else self._index[name] for name in inputs],
            outputs=[self._index[name] for name in outputs],
        )
        if options is not None:
            made.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self._operators.append(made)
        return outputs[0]

    def conv(self, x: str, name: str, channels: tuple[int, int], size: int, **how: Any) -> str:
        """3x3 on [1, size, size, in], padded, int8, its ReLU inside; `dtype` float32 as well."""
        dtype, bias = how.get("dtype", "int8"), how.get("bias", True)
        inputs, outputs = channels
        weight = self._rng.integers(-100, 101, (outputs, 3, 3, inputs)).astype(dtype)
        scales = [0.01] * (outputs if how.get("per_channel", True) else 1)
        operands = [x, self.tensor(f"{name}.weight", weight.shape, dtype, scales, data=weight)]
        if bias:
            integer = "int32" if dtype == "int8" else dtype
            zeros = np.zeros(outputs, integer)
            steps = [0.0625 * scale for scale in scales]
            operands.append(self.tensor(f"{name}.bias", (outputs,), integer, steps, data=zeros))
        self.tensor(name, (1, size, size, outputs), dtype, how.get("scale", 0.0625), -128)
        options = schema.Conv2DOptionsT(
            strideW=1,
            strideH=1,
            dilationWFactor=how.get("dilation", 1),
            dilationHFactor=how.get("dilation", 1),
            fusedActivationFunction=schema.ActivationFunctionType.RELU,
        )
        return self.op("CONV_2D", operands, [name], how.get("version", 3), options)

    def linear(self, x: str, name: str, features: int, classes: int, scales: int = 1) -> str:
        weight = self._rng.integers(-100, 101, (classes, features)).astype(np.int8)
        bias = np.zeros(classes, np.int32)
        steps = [0.01] * scales
        self.tensor(f"{name}.weight", weight.shape, "int8", steps, data=weight)
        self.tensor(
            f"{name}.bias", (classes,), "int32", [0.0625 * step for step in steps], data=bias
        )
        self.tensor(name, (1, classes), "int8", 0.5, 3)
        operands = [x, f"{name}.weight", f"{name}.bias"]
        return self.op("FULLY_CONNECTED", operands, [name], 4, schema.FullyConnectedOptionsT())

    def new_graph(self) -> None:
        """What comes next belongs to another subgraph; names start anew."""
        self._bodies.append((self._tensors, self._operators, self._index))
        self._tensors, self._operators, self._index = [], [], {}

    def save(
        self,
        path: Path,
        inputs: Named,
        outputs: Named,
        metadata: Mapping[str, bytes] | None = None,
        signatures: Sequence[str] = ("serving_default",),
    ) -> Path:
        """`inputs`, `outputs`: of the first subgraph, from tensor to its name in the signature."""
        self.new_graph()
        graphs = [
            schema.SubGraphT(tensors=tensors, operators=operators, inputs=[], outputs=[])
            for tensors, operators, _ in self._bodies
        ]
        index = self._bodies[0][2]
        graphs[0].inputs = [index[name] for name in inputs]
        graphs[0].outputs = [index[name] for name in outputs]
        model = schema.ModelT(
            version=3,
            operatorCodes=self._codes,
            subgraphs=graphs,
            metadata=[
                schema.MetadataT(name=name, buffer=self._buffer(content))
                for name, content in (metadata or {}).items()
            ],
            signatureDefs=[
                schema.SignatureDefT(
                    signatureKey=key,
                    inputs=[schema.TensorMapT(to, index[name]) for name, to in inputs.items()],
                    # In another order than the graph's, as converters do.
                    outputs=[
                        schema.TensorMapT(to, index[name])
                        for name, to in reversed(list(outputs.items()))
                    ],
                )
                for key in signatures
            ],
        )
        model.buffers = self._buffers
        builder = Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    def _buffer(self, content: bytes) -> int:
        self._buffers.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
        return len(self._buffers) - 1


def float_edges(path: Path, metadata: Mapping[str, bytes] | None = None) -> Path:
    """QUANTIZE, two convolutions, mean, classifier, DEQUANTIZE: 'image' [1, 6, 6, 3] to 'scores'
    [1, 4].
    """
    b = FileBuilder()
    b.tensor("x", (1, 6, 6, 3), "float32")
    b.op("QUANTIZE", ["x"], [b.tensor("xq", (1, 6, 6, 3))], options=schema.QuantizeOptionsT())
    y = b.conv(b.conv("xq", "stem", (3, 8), 6), "conv", (8, 8), 6)
    axes = b.integers("axes", [1, 2])
    b.tensor("pooled", (1, 8), "int8", 0.0625, -128)
    b.op("MEAN", [y, axes], ["pooled"], 2, schema.ReducerOptionsT())
    b.linear("pooled", "fc", 8, 4)
    b.op("DEQUANTIZE", ["fc"], [b.tensor("out", (1, 4), "float32")], 2, schema.DequantizeOptionsT())
    return b.save(path, {"x": "image"}, {"out": "scores"}, metadata)


FLOAT_EDGES_MACS = 36 * 8 * 27 + 36 * 8 * 72 + 32


def int8_edges(path: Path, **how: Any) -> Path:
    """One convolution: 'image' [1, 6, 6, 3] int8 to 'map' [1, 6, 6, 8] int8."""
    b = FileBuilder()
    b.tensor("x", (1, 6, 6, 3), "int8", 0.0625, -1)
    b.conv("x", "stem", (3, 8), 6, **how)
    return b.save(path, {"x": "image"}, {"stem": "map"})
