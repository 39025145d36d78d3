"""From a model to a file for TensorRT and what it computes, for tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from quantizing import Inputs, batch
from torch import Tensor, nn

from edgecompress.artifact import Artifact
from edgecompress.compress.quantize import Prepared, Quantized, calibrate, convert, prepare
from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes import runtime
from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.scheme import QuantizationScheme
from edgecompress.spec.target import Target
from edgecompress.task.base import tensors_of

Release = tuple[int, int]
ORIN = load_target("jetson-orin-nano")
RELEASES: dict[Release, int] = {(8, 6): 17, (10, 3): 20, (11, 0): 22}
"""To the opset that is written for it."""
CLOSE = 2.5
"""Output steps: a residual sum is more exact in the file, and float16 a little less."""


def target(release: Release, float_dtype: str = "float16") -> Target:
    runtime = ORIN.runtime.model_copy(update={"version": f"=={release[0]}.{release[1]}.*"})
    return ORIN.model_copy(update={"runtime": runtime, "float_dtype": float_dtype})


def quantised(
    model: nn.Module,
    inputs: Inputs,
    wanted: QuantizationScheme = ORIN.quantization,
    keep_float: tuple[str, ...] = (),
) -> Quantized:
    prepared = prepare(model, inputs, wanted, "minmax", keep_float)
    calibrate(prepared, [(batch(inputs, 4, seed), None) for seed in range(3)])
    return convert(prepared, integers=False)


@dataclass
class File:
    quantized: Quantized
    artifact: Artifact
    release: Release

    @property
    def inspection(self) -> Inspection:
        return inspect_tensorrt(self.artifact.path, self.release)

    @property
    def graph(self) -> onnx.GraphProto:
        return onnx.load(self.artifact.path).graph

    @property
    def constants(self) -> dict[str, np.ndarray]:
        return {one.name: numpy_helper.to_array(one) for one in self.graph.initializer}

    def nodes(self, op_type: str) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if node.op_type == op_type]

    def run(self, inputs: Inputs) -> list[np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            self.artifact.path, options, providers=["CPUExecutionProvider"]
        )
        names = [tensor.name for tensor in session.get_inputs()]
        return session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})

    def steps_apart(self, count: int) -> float:
        inputs = batch(self.quantized.prepared.example_inputs, count, seed=9)
        with torch.no_grad():
            wanted = tensors_of(self.quantized.graph(*inputs))
        return max(
            float((torch.from_numpy(ours) - theirs).abs().max()) / self._step(index, theirs)
            for index, (ours, theirs) in enumerate(zip(self.run(inputs), wanted, strict=True))
        )

    def _step(self, index: int, values: Tensor) -> float:
        return self.artifact.outputs[index].scale or float(values.abs().max()) / 127


def exported(
    quantized: Quantized,
    path: Path,
    release: Release = (10, 3),
    float_dtype: str = "float16",
    float32_only: tuple[str, ...] = (),
) -> File:
    prepared: Prepared = quantized.prepared
    with torch.no_grad():
        outputs = tensors_of(quantized.graph(*prepared.example_inputs))
    exportable = Exportable(
        module=quantized.graph,
        example_inputs=prepared.example_inputs,
        free_batch=prepared.free_batch,
        input_names=tuple(f"in{i}" for i in range(len(prepared.example_inputs))),
        output_names=tuple(f"out{i}" for i in range(len(outputs))),
        lineage={"stage": "quantize"},
        target=target(release, float_dtype),
        layers=quantized.layers,
        keep_float=prepared.keep_float,
        float32_only=float32_only,
        scheme=prepared.scheme,
    )
    artifact = runtime("tensorrt").export(exportable, path / "model.onnx")
    return File(quantized, artifact, release)
