"""`targets/*.yaml`: what a kind of board with one runtime wants."""

import re
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


class Gpu(Spec):
    architecture: str
    """CUDA's name of it: 'sm_87'."""


class Runtime(Spec):
    name: RuntimeName
    version: str
    """What the board needs, as a PEP 440 specifier: '>=1.17'. TensorRT's rules differ from release
    to release, so there it is '==10.3.*'.
    """
    threads: Positive
    delegate: Literal["xnnpack", "nnapi", "gpu"] | None = None
    """LiteRT only, and needed there: who runs the operators."""
    api_level: Positive | None = None
    """Android's, which says what NNAPI takes; only with delegate nnapi."""

    @model_validator(mode="after")
    def _check(self) -> "Runtime":
        if (self.name == "litert") != (self.delegate is not None):
            raise ValueError(
                f"delegate belongs to runtime litert, which needs one; name is '{self.name}'"
            )
        if (self.delegate == "nnapi") != (self.api_level is not None):
            raise ValueError("api_level belongs to delegate nnapi, which needs one")
        if self.name == "tensorrt" and not re.fullmatch(r"==\d+\.\d+\.\*", self.version):
            raise ValueError(f"version '{self.version}' of TensorRT must look like '==10.3.*'")
        return self

    @property
    def release(self) -> tuple[int, int]:
        """(major, minor) of the version that a TensorRT target names."""
        major, minor = self.version.removeprefix("==").split(".")[:2]
        return int(major), int(minor)


class Edges(Spec):
    """What the file takes and gives at its inputs and outputs."""

    dtype: Literal["float32", "int8"] = "float32"
    """int8: quantised by the caller, with the scale and zero point that the artifact names."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Of inputs with four dimensions."""


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
    joins: Literal["free", "shared", "fused"] = "free"
    """Of tensors that meet in a residual addition or a concatenation. free: they and the result
    have a scale each, where kernels gain by it. shared: one for all, so that int8 values are just
    added or put side by side, and every runtime gets the same. fused: a term that comes from a
    convolution is not rounded before it is added; TensorRT's kernels add it so.
    """

    @property
    def same_integers(self) -> bool:
        """Whether files of this scheme are to compute the same integers in every kernel, those that
        round twice included: that takes one bit of the weights, and one scale for what is joined.
        """
        return self.weights.bits == 7 and self.joins == "shared"


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
    gpu: Gpu | None = None
    runtime: Runtime
    edges: Edges = Edges()
    float_dtype: Literal["float32", "float16"] = "float32"
    """What computes where nothing is quantised; float16 with TensorRT only."""
    quantization: QuantizationScheme
    round_to: Positive
    """Channel counts are kept at multiples of this: what the kernels step by."""
    sparsity: tuple[Sparsity, ...]
    """Kinds of sparsity from which this target gains."""
    measurement: MeasurementProtocol

    @model_validator(mode="after")
    def _check(self) -> "Target":
        name, activations = self.runtime.name, self.quantization.activations
        if name != "litert" and self.edges != Edges():
            raise ValueError(f"edges are float32 and nchw with {name}; others need litert")
        if name != "tensorrt" and (self.float_dtype == "float16" or self.gpu is not None):
            raise ValueError("float_dtype float16 and gpu need runtime tensorrt")
        if name == "tensorrt" and self.gpu is None:
            raise ValueError("runtime tensorrt needs gpu: {architecture: sm_87}")
        if name == "tensorrt" and (activations.dtype, activations.scheme) != ("int8", "symmetric"):
            raise ValueError(
                "TensorRT takes int8 symmetric activations only; write activations:"
                " {dtype: int8, scheme: symmetric}"
            )
        if name != "tensorrt" and self.quantization.joins == "fused":
            raise ValueError("joins fused needs runtime tensorrt; others: free or shared")
        if name == "litert" and activations.dtype != "int8":
            raise ValueError(
                "LiteRT takes int8 activations only; write activations:"
                " {dtype: int8, scheme: affine}"
            )
        return self
