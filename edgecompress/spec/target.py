"""`targets/*.yaml`: what a kind of board with one runtime wants."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.spec.base import Spec

Positive = Annotated[int, Field(gt=0)]
RuntimeName = Literal["onnxruntime", "litert", "tensorrt"]
Sparsity = Literal["structured", "unstructured", "2:4"]


Architecture = Literal["x86_64", "aarch64", "armv7l"]


class Cpu(Spec):
    architecture: Architecture
    features: tuple[str, ...] = ()
    """Instruction sets that matter to int8, as /proc/cpuinfo spells them (asimddp, avx512_vnni)."""
    cores: Positive


class Runtime(Spec):
    name: RuntimeName
    version: str
    """What the board needs, as a PEP 440 specifier: '>=1.17'."""
    threads: Positive


class Activations(Spec):
    dtype: Literal["uint8", "int8"]
    scheme: Literal["affine", "symmetric"]

    @model_validator(mode="after")
    def _check(self) -> "Activations":
        if self.dtype == "uint8" and self.scheme == "symmetric":
            raise ValueError("uint8 activations cannot be symmetric; use int8, or scheme: affine")
        return self


class Weights(Spec):
    dtype: Literal["int8"]
    granularity: Literal["per_channel", "per_tensor"]
    bits: Literal[7, 8] | None = None
    """7 where int8 kernels add pairs of products in 16 bits, which overflows with 8 (x86 without
    VNNI, uint8 activations); None: as the CPU's features say."""


class QuantizationScheme(Spec):
    """How numbers are stored; targets with equal schemes share one training."""

    activations: Activations
    weights: Weights
    scales: Literal["free", "power_of_two"]


class MeasurementProtocol(Spec):
    """How a latency is taken; the samples of all turns are kept."""

    warmup_iterations: Annotated[int, Field(ge=0)]
    min_iterations: Positive
    """Per turn; a turn ends when both minima are reached."""
    min_duration_s: Annotated[float, Field(gt=0, le=600)]
    turns: Positive
    """Baseline and candidate alternate this many times, each turn in a fresh process."""


class Target(Spec):
    name: str
    description: str
    cpu: Cpu | Literal["native"]
    """native: that of the machine edgecompress runs on; `resolve` looks."""
    runtime: Runtime
    quantization: QuantizationScheme
    round_to: Positive
    """Channel counts are kept at multiples of this: what the kernels step by."""
    sparsity: tuple[Sparsity, ...]
    """Kinds of sparsity from which this target gains."""
    measurement: MeasurementProtocol
