"""How numbers are quantised."""

from typing import ClassVar, Literal

from pydantic import model_validator

from edgecompress.spec.base import GrowingSpec, Spec


class Activations(Spec):
    dtype: Literal["uint8", "int8"]
    scheme: Literal["affine", "symmetric"]
    """affine: any zero point. symmetric: a zero point of 0."""

    @property
    def symmetric(self) -> bool:
        return self.scheme == "symmetric"

    @model_validator(mode="after")
    def _check(self) -> "Activations":
        if self.dtype == "uint8" and self.symmetric:
            raise ValueError("uint8 activations cannot be symmetric; use int8, or scheme: affine")
        return self


class Weights(Spec):
    dtype: Literal["int8"]
    granularity: Literal["per_channel", "per_tensor"]
    bits: Literal[7, 8] | None = None
    """7 where int8 kernels add pairs of products in 16 bits, which overflows with 8 (x86 without
    VNNI, uint8 activations); None: as the CPU's features say."""


class QuantizationScheme(GrowingSpec):
    """How numbers are stored; targets with equal schemes share one training."""

    newer: ClassVar[frozenset[str]] = frozenset({"outputs"})

    activations: Activations
    weights: Weights
    scales: Literal["free", "power_of_two"]
    joins: Literal["free", "shared", "fused"] = "free"
    """Scales of tensors that meet in a residual addition or a concatenation. free: they and the
    result have one each, where kernels gain by it. shared: one for all, so that int8 values are
    just added or put side by side, and every runtime gets the same. fused: a term that comes from a
    convolution is not rounded before it is added; TensorRT's kernels add it so.
    """

    outputs: Literal["int8", "as_read"] = "int8"
    """What a linear layer or a product of two activations writes. int8: integers, whoever reads
    them. as_read: floats where nothing but operators without an int8 kernel reads them, for kernels
    that can; then additions and products between such operators are float too.
    """

    @property
    def same_integers(self) -> bool:
        """Whether files of this scheme are to compute the same integers in every kernel, those that
        round twice included: that takes one bit of the weights, and one scale for what is joined.
        """
        return self.weights.bits == 7 and self.joins == "shared"
