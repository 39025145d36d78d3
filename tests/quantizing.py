"""From a model to a quantised file and what ONNX Runtime makes of it, for tests."""

import platform
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchlib import spare
from zoo.catalogue import build

from edgecompress.artifact import Artifact
from edgecompress.compress.quantize import (
    Prepared,
    Quantized,
    calibrate,
    captured,
    convert,
    prepare_captured,
)
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx.kinds import CONVERSIONS, FLOATS, MOVES
from edgecompress.runtimes import runtime
from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.scheme import Activations, QuantizationScheme, Weights
from edgecompress.spec.target import Target
from edgecompress.task.base import tensors_of

spare()

Inputs = tuple[Tensor, ...]
LOCAL = load_target("local-onnxruntime")
TARGETS = {
    "int8 affine": load_target("raspberry-pi-5-onnxruntime"),
    "int8 symmetric": load_target("raspberry-pi-5-onnxruntime"),
}
"""Names of schemes that `local`, whose kernels take uint8, does not run as they are."""


def scheme(name: str) -> QuantizationScheme:
    """Short name -> scheme: 7 bits are what x86 without VNNI needs, and exact everywhere."""
    dtype, kind, granularity, bits, scales = {
        "uint8": ("uint8", "affine", "per_channel", 7, "free"),
        "uint8, 8 bits": ("uint8", "affine", "per_channel", 8, "free"),
        "uint8, integers": ("uint8", "affine", "per_channel", 7, "free"),
        "int8 affine": ("int8", "affine", "per_channel", 7, "free"),
        "int8 symmetric": ("int8", "symmetric", "per_channel", 7, "free"),
        "portable": ("int8", "symmetric", "per_channel", 7, "free"),
        "portable, affine": ("int8", "affine", "per_channel", 7, "free"),
        "litert": ("int8", "affine", "per_channel", 8, "free"),
        "powers of two": ("uint8", "affine", "per_channel", 7, "power_of_two"),
        "per tensor": ("uint8", "affine", "per_tensor", 7, "free"),
    }[name]
    return QuantizationScheme.model_validate(
        {
            "activations": Activations.model_validate({"dtype": dtype, "scheme": kind}),
            "weights": Weights.model_validate(
                {"dtype": "int8", "granularity": granularity, "bits": bits}
            ),
            "scales": scales,
            "joins": "shared" if name.startswith("portable") else "free",
            "outputs": "as_read" if dtype == "uint8" and "integers" not in name else "int8",
        }
    )


def batch(example_inputs: Inputs, count: int, seed: int) -> Inputs:
    """Other inputs of the same kind."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(count, *x.shape[1:], generator=generator)
        if x.is_floating_point()
        else torch.randint(0, 20, (count, *x.shape[1:]), generator=generator)
        for x in example_inputs
    )


def calibrated(
    model: nn.Module,
    example_inputs: Inputs,
    wanted: str = "uint8",
    keep_float: tuple[str, ...] = (),
    spec: QuantizeSpec | None = None,
) -> Prepared:
    traced = captured(model, example_inputs, spec)
    prepared = prepare_captured(traced, scheme(wanted), "minmax", keep_float)
    calibrate(prepared, [(batch(example_inputs, 4, seed), None) for seed in range(3)])
    return prepared


@dataclass
class Built:
    """A quantised file."""

    model: nn.Module
    example_inputs: Inputs
    quantized: Quantized
    artifact: Artifact
    optimised: Path

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.optimized_model_filepath = str(self.optimised)
        return onnxruntime.InferenceSession(
            self.artifact.path, options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: Inputs) -> list[NDArray[np.float32]]:
        names = [tensor.name for tensor in self.session.get_inputs()]
        arrays = [x.numpy() for x in inputs]
        # An input that the model does not use is not in the file.
        return self.session.run(None, dict(zip(names, arrays, strict=True)))

    def torch(self, inputs: Inputs) -> list[Tensor]:
        with torch.no_grad():
            return tensors_of(self.quantized.graph(*inputs))

    def steps_apart(self, inputs: Inputs) -> float:
        """Largest difference of file and torch, in steps of the output."""
        return max(
            float((torch.from_numpy(ours) - theirs).abs().max() / self._step(index, theirs))
            for index, (ours, theirs) in enumerate(
                zip(self.run(inputs), self.torch(inputs), strict=True)
            )
        )

    def _step(self, index: int, values: Tensor) -> float:
        return self.artifact.outputs[index].scale or float(values.abs().max()) / 255

    @cached_property
    def inspection(self) -> Inspection:
        assert self.session is not None
        return inspect_onnx(self.artifact.path, self.optimised, "onnxruntime", platform.machine())

    @property
    def kernels(self) -> Counter[str]:
        return Counter(op.op_type for op in self.inspection.ops)

    @property
    def float_kernels(self) -> set[str]:
        """Operators that compute in float; Q, DQ and what only moves data aside."""
        return {
            op.op_type
            for op in self.inspection.ops
            if op.dtype in FLOATS and op.op_type not in CONVERSIONS | MOVES
        }


def exported(
    prepared: Prepared,
    model: nn.Module,
    folder: Path,
    lineage: dict[str, str] | None = None,
    target: Target = LOCAL,
) -> Built:
    """Convert and export; output names are out0, out1, .."""
    quantized = convert(prepared)
    inputs = prepared.example_inputs
    with torch.no_grad():
        outputs = tensors_of(model(*inputs))
    exportable = Exportable(
        module=quantized.graph,
        example_inputs=inputs,
        free_batch=prepared.free_batch,
        input_names=tuple(f"in{index}" for index in range(len(inputs))),
        output_names=tuple(f"out{index}" for index in range(len(outputs))),
        lineage=lineage or {},
        target=target,
        layers=quantized.layers,
        keep_float=prepared.keep_float,
        scheme=prepared.scheme,
    )
    artifact = runtime("onnxruntime").export(exportable, folder / "model.onnx")
    return Built(model, inputs, quantized, artifact, folder / "optimised.onnx")


def built(
    model: nn.Module, example_inputs: Inputs, folder: Path, wanted: str = "uint8", **options: object
) -> Built:
    prepared = calibrated(model, example_inputs, wanted, **options)  # type: ignore[arg-type]
    return exported(prepared, model, folder, target=TARGETS.get(wanted, LOCAL))


class ZooFiles:
    """Quantised files of the zoo, each made once in a process. They are not to be changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], Built] = {}

    def __call__(self, name: str, wanted: str = "uint8") -> Built:
        key = (name, wanted)
        if key not in self._made:
            folder = self._folder / f"{len(self._made)}"
            folder.mkdir()
            self._made[key] = built(*build(name), folder, wanted)
        return self._made[key]
