"""Quantised files for OpenVINO, and what its runner makes of them in processes of its own."""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from quantizing import Inputs, batch, calibrated, scheme
from torch import nn

from edgecompress.artifact import Artifact
from edgecompress.compress.quantize import Quantized, convert
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx.kinds import QUANTIZE
from edgecompress.measure.agent import Agent, Inference, Kernels
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.tensors import feed, outputs_of, write_npz
from edgecompress.pipeline.formats import inspect_for
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import Inspection
from edgecompress.task.base import tensors_of

TARGET = load_target("local-openvino")
OPENVINO = runtime("openvino")
SAMPLES = 4
LAST_BITS = 2.0**-16
"""The part of a step that float32 cannot tell of a sum. Biases are no whole number of
sums, so that one may lie at a tie: in "max_pool" one of 4,096 is 61.500003, which the definition
adds up to 61.499996."""

Arrays = list[NDArray[np.float32]]


@dataclass
class Built:
    quantized: Quantized
    example_inputs: Inputs
    artifact: Artifact
    folder: Path

    @property
    def agent(self) -> Agent:
        return agent_on(HERE, self.folder / "agent")

    @cached_property
    def samples(self) -> Inputs:
        singles = [batch(self.example_inputs, 1, 100 + seed) for seed in range(SAMPLES)]
        return tuple(torch.cat(parts) for parts in zip(*singles, strict=True))

    @cached_property
    def inspection(self) -> Inspection:
        return inspect_for(self.artifact, TARGET, self.agent, self.folder)

    def run(self, runner: str = "openvino", kernels: Kernels = "default") -> Arrays:
        """Outputs for `samples`, [SAMPLES, ...] each."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            inputs, outputs = Path(name) / "in.npz", Path(name) / "out.npz"
            write_npz(inputs, feed(self.artifact, [x.numpy() for x in self.samples]))
            inference = Inference(inputs, outputs, kernels=kernels)
            self.agent.infer(Loaded(self.artifact, runner), inference)
            return outputs_of(self.artifact, outputs)

    def is_far_from_ties(self) -> NDArray[np.bool_]:
        """Whether nothing that the definition rounds of a sample lies at a tie (x.5), as far as
        float32 tells; for each sample. Kernels that add in another order may round that to the
        next integer.
        """
        model = onnx.load(self.artifact.path)
        told = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}
        rounds = [node for node in model.graph.node if node.op_type == QUANTIZE]
        scales = {node.input[0]: told[node.input[1]] for node in rounds}
        names = scales.keys() - {x.name for x in model.graph.input}
        known = {x.name for x in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names - known)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        inputs = feed(self.artifact, [x.numpy() for x in self.samples])
        far = np.ones(SAMPLES, bool)
        for at in range(SAMPLES):
            sample = {name: array[at : at + 1] for name, array in inputs.items()}
            for name, values in zip(names, session.run(list(names), sample), strict=True):
                steps = values.astype(np.float64) / scales[name]
                from_tie = np.abs(steps - np.floor(steps) - 0.5)[np.abs(steps) < 256]
                far[at] &= from_tie.min(initial=0.5) > LAST_BITS
        return far

    def torch(self) -> Arrays:
        singles = [[x[at : at + 1] for x in self.samples] for at in range(SAMPLES)]
        with torch.no_grad():
            outputs = [tensors_of(self.quantized.graph(*inputs)) for inputs in singles]
        return [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]

    def steps_apart(self, ours: Arrays, theirs: Arrays) -> float:
        """Largest difference, in steps of the output."""
        return max(
            float(np.abs(one - other).max() / (told.scale or np.abs(other).max() / 255))
            for one, other, told in zip(ours, theirs, self.artifact.outputs, strict=True)
        )


def built(model: nn.Module, example_inputs: Inputs, folder: Path, wanted: str) -> Built:
    """Quantised by the scheme of that short name, and exported."""
    quantized = convert(calibrated(model, example_inputs, wanted))
    artifact = OPENVINO.export(exportable(quantized, example_inputs, wanted), folder / "model.onnx")
    return Built(quantized, example_inputs, artifact, folder)


def exportable(quantized: Quantized, example_inputs: Inputs, wanted: str) -> Exportable:
    with torch.no_grad():
        count = len(tensors_of(quantized.graph(*example_inputs)))
    return Exportable(
        module=quantized.graph,
        example_inputs=example_inputs,
        free_batch=True,
        input_names=tuple(f"in{index}" for index in range(len(example_inputs))),
        output_names=tuple(f"out{index}" for index in range(count)),
        lineage={},
        target=TARGET,
        layers=quantized.layers,
        scheme=scheme(wanted),
    )
