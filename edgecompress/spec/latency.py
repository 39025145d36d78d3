"""A table of latencies: what single layers take on a device, and what pruning made of it."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.errors import SpecError
from edgecompress.spec.base import Many, Spec
from edgecompress.spec.deploy import DeployConfig, StructuredPruneSpec
from edgecompress.spec.device import Device

Text = Annotated[str, Field(max_length=8192)]
Milliseconds = Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)]
Kind = Literal[
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Linear",
]
"""Layers with channels of their own, as torch calls them."""

_CHANNELS = 16
"""Channels of a pointwise convolution: a multiple of what all kernels step by."""


class LayerShape(Spec):
    """A layer, but for its numbers of channels."""

    kind: Kind
    size: tuple[int, ...]
    """Its input's: height and width of a convolution; what comes before the features of a linear
    layer. Without the batch."""
    batch: int = 1
    """Its input's: 1, but where the model folds another dimension into it."""
    kernel_size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] | Literal["same", "valid"] = ()
    output_padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    """0: as many as it has channels (depthwise)."""
    in_float: bool = False
    """Whether it stays in float where the rest is quantised."""

    @property
    def family(self) -> str:
        """What has the same work at the edges of a file."""
        dtype = "float" if self.in_float else "as it ships"
        return f"{self._plain} {len(self.size)} {dtype}"

    @property
    def _plain(self) -> Kind:
        plain: dict[Kind, Kind] = {
            "ConvTranspose1d": "Conv1d",
            "ConvTranspose2d": "Conv2d",
            "ConvTranspose3d": "Conv3d",
        }
        return plain.get(self.kind, self.kind)

    def pointwise(self, numbers: int) -> "tuple[LayerShape, int]":
        """A layer of the family that is cheap, with about so many numbers in and out; and its
        channels.
        """
        many = len(self.size)
        if self.kind == "Linear":
            channels = min(numbers, 64 if many else 512)
            size = (max(1, numbers // channels), *(1,) * (many - 1)) if many else ()
            return LayerShape(kind="Linear", size=size, in_float=self.in_float), channels
        side, ones = max(1, round((numbers / _CHANNELS) ** (1 / many))), (1,) * many
        shape = LayerShape(
            kind=self._plain,
            size=(side,) * many,
            kernel_size=ones,
            stride=ones,
            padding=(0,) * many,
            dilation=ones,
            in_float=self.in_float,
        )
        return shape, _CHANNELS

    @property
    def out_size(self) -> tuple[int, ...]:
        """As `size`, of its output."""
        if self.kind == "Linear":
            return self.size
        if self.padding == "same":
            return self.size
        none = (0,) * len(self.size)
        padding = none if self.padding == "valid" else self.padding
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if self.kind.startswith("ConvTranspose"):
            extra = self.output_padding
            return tuple(
                (n - 1) * s - 2 * p + span + o + 1
                for n, s, p, span, o in zip(
                    self.size, self.stride, padding, spans, extra, strict=True
                )
            )
        return tuple(
            (n + 2 * p - span - 1) // s + 1
            for n, s, p, span in zip(self.size, self.stride, padding, spans, strict=True)
        )


class Entry(Spec):
    """What a row of the table is of."""

    shape: LayerShape
    inputs: int
    outputs: int
    copies: int = 1
    """So many of them in a row, as one file."""


class Row(Spec):
    """What an entry took, when it was measured."""

    ms: Milliseconds
    yardstick_ms: Milliseconds
    """What a layer that is always the same took in the same sweep."""


class SweepFile(Spec):
    """One file of a sweep."""

    name: Text
    model_sha256: Text | None
    """The hash of the file that ran; None where none runs on the device."""
    rounds_ms: Annotated[Many[Milliseconds], Field(min_length=1, max_length=100_000)]
    """The median of each round."""


class Sweep(Spec):
    """The agent's answer to `sweep`: many files in one process, in rounds."""

    files: Many[SweepFile]
    threads: int
    versions: dict[str, str]
    notes: Annotated[Many[str], Field(max_length=1000)] = ()


def check_measured(config: DeployConfig, target: str, device: Device | None) -> None:
    """Raises SpecError where the recipe prunes by the latency of a target, and no device of it is
    at hand.
    """
    prune = config.prune
    by_latency = isinstance(prune, StructuredPruneSpec) and prune.allocation == "latency"
    if by_latency and (device is None or device.emulated):
        raise unmeasured(target, device)


def unmeasured(target: str, device: Device | None) -> SpecError:
    """Why pruning by latency cannot be, and what to do."""
    why = (
        "and none is in the inventory: add one (edgecompress devices add)"
        if device is None
        else f"and '{device.id}' is emulated: use a real one"
    )
    return SpecError(
        f"prune.allocation 'latency' measures layers on a device of '{target}', {why}, or take"
        " allocation: sensitivity with macs_reduction"
    )
