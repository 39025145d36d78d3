"""From a model to a TFLite file and what LiteRT makes of it, for tests."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from quantizing import Inputs
from torch import Tensor, nn

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.compress.quantize import calibrate, convert, prepare
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.tflite.graph import Graph, Model
from edgecompress.formats.tflite.reader import load
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.runtime import Edges
from edgecompress.spec.scheme import Activations, QuantizationScheme, Weights
from edgecompress.task.base import tensors_of

LITERT = load_target("local-litert")
INT8 = Edges(dtype="int8", layout="nhwc")


def scheme(kind: str, bits: Literal[7, 8] = 8) -> QuantizationScheme:
    """LiteRT's own, or with 7 bits the one that all kernels compute alike."""
    return QuantizationScheme(
        activations=Activations.model_validate({"dtype": "int8", "scheme": kind}),
        weights=Weights(dtype="int8", granularity="per_channel", bits=bits),
        scales="free",
        joins="shared" if bits == 7 else "free",
    )


def random_inputs(example_inputs: Inputs, count: int, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, *x.shape[1:], generator=generator) for x in example_inputs)


@dataclass
class TfliteFile:
    """An exported file beside the torch module that it came from."""

    module: nn.Module
    example_inputs: Inputs
    artifact: Artifact

    @cached_property
    def content(self) -> Model:
        return load(self.artifact.path)

    @property
    def graph(self) -> Graph:
        return self.content.graph

    @property
    def kinds(self) -> Counter[str]:
        return Counter(op.op_type for op in self.graph.operators)

    @property
    def float_kinds(self) -> set[str]:
        """Operators that read or write floats; QUANTIZE and DEQUANTIZE aside."""
        return {
            op.op_type
            for op in self.graph.operators
            if op.op_type not in ("QUANTIZE", "DEQUANTIZE")
            and any(x is not None and x.dtype == "float32" for x in (*op.inputs, *op.outputs))
        }

    def run(self, inputs: Inputs, kernels: str = "BUILTIN") -> list[NDArray[np.float32]]:
        """What LiteRT puts out, as real numbers: XNNPACK's kernels, or 'BUILTIN_REF'."""
        resolver = OpResolverType[kernels]
        path = str(self.artifact.path)
        runner = Interpreter(path, num_threads=1, experimental_op_resolver_type=resolver)
        signature = runner.get_signature_runner()
        feed = {
            info.name: _stored(x, info)
            for info, x in zip(self.artifact.inputs, inputs, strict=True)
        }
        results = signature(**feed)
        return [_real(results[info.name], info) for info in self.artifact.outputs]

    def torch(self, inputs: Inputs) -> list[Tensor]:
        with torch.no_grad():
            return tensors_of(self.module(*inputs))

    def steps_apart(self, kernels: str = "BUILTIN") -> float:
        """Largest difference of file and torch over random inputs, in steps of the output."""
        worst = 0.0
        for seed in range(4):
            inputs = random_inputs(self.example_inputs, 1, 100 + seed)
            pairs = zip(self.artifact.outputs, self.run(inputs, kernels), strict=True)
            for (info, ours), theirs in zip(pairs, self.torch(inputs), strict=True):
                assert info.scale is not None
                worst = max(worst, float(np.abs(ours - theirs.numpy()).max()) / info.scale)
        return worst


def _stored(x: Tensor, info: TensorInfo) -> NDArray[np.generic]:
    values = (x.permute(0, 2, 3, 1) if info.layout == "nhwc" else x).numpy()
    if info.dtype != "int8":
        return values.astype(info.dtype)
    assert info.scale is not None
    return np.clip(np.round(values / info.scale) + (info.zero_point or 0), -128, 127).astype("int8")


def _real(values: NDArray[np.generic], info: TensorInfo) -> NDArray[np.float32]:
    real = values.astype(np.float32)
    if info.dtype != "int8":
        return real
    assert info.scale is not None
    return (real - (info.zero_point or 0)) * np.float32(info.scale)


def export(
    module: nn.Module, example_inputs: Inputs, folder: Path, edges: Edges = INT8, **more: object
) -> TfliteFile:
    """Inputs are called in0, in1, .., outputs out0, out1, .."""
    with torch.no_grad():
        count = len(tensors_of(module(*example_inputs)))
    options: dict[str, object] = {
        "module": module,
        "example_inputs": example_inputs,
        "free_batch": True,
        "input_names": tuple(f"in{index}" for index in range(len(example_inputs))),
        "output_names": tuple(f"out{index}" for index in range(count)),
        "lineage": {},
        "target": LITERT.model_copy(update={"edges": edges}),
    }
    exportable = Exportable(**{**options, **more})  # type: ignore[arg-type]
    artifact = runtime("litert").export(exportable, folder / "model.tflite")
    return TfliteFile(module, example_inputs, artifact)


def quantised(
    model: nn.Module,
    example_inputs: Inputs,
    folder: Path,
    kind: str = "affine",
    edges: Edges = INT8,
    keep_float: tuple[str, ...] = (),
    bits: Literal[7, 8] = 8,
    **more: object,
) -> TfliteFile:
    prepared = prepare(model, example_inputs, scheme(kind, bits), "minmax", keep_float)
    batches = [(random_inputs(example_inputs, 4, seed), None) for seed in range(3)]
    calibrate(prepared, batches)
    converted = convert(prepared, integers=False)
    told = {"layers": converted.layers, "keep_float": keep_float, "scheme": scheme(kind, bits)}
    return export(converted.graph, example_inputs, folder, edges, **told | more)
