"""`targets/*.yaml`: what a kind of board with one runtime wants."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.runtimes import RUNTIMES, sections
from edgecompress.spec.base import Spec
from edgecompress.spec.protocol import AnyProtocol, protocol_named
from edgecompress.spec.runtime import Edges, FloatDtype, Positive, RuntimeSection
from edgecompress.spec.scheme import QuantizationScheme

if TYPE_CHECKING:
    AnyRuntime = RuntimeSection
else:
    # The runtimes' own sections, told apart by their names.
    AnyRuntime = Annotated[reduce(or_, sections()), Field(discriminator="name")]

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


class RaceSpec(Spec):
    """What a race on the board leaves open."""

    threads: tuple[Positive, ...] = ()
    """Numbers of threads that are tried beside `runtime.threads`."""


class Target(Spec):
    name: str
    description: str
    board: str | None = None
    """What it stands on, where several targets do: 'raspberry-pi-5'. None: `name` is the board."""
    cpu: Cpu | Literal["native"]
    """native: that of the machine edgecompress runs on; `resolve` looks."""
    gpu: Gpu | None = None
    runtime: AnyRuntime
    edges: Edges = Edges()
    outputs: Literal["decoded", "raw"] = "decoded"
    """decoded: the task's decoder, where it has one, is a part of the file; raw: what the model
    itself puts out, which the application decodes.
    """
    float_dtype: FloatDtype = "float32"
    """What computes where nothing is quantised."""
    quantization: QuantizationScheme
    round_to: Positive
    """Channel counts are kept at multiples of this: what the kernels step by."""
    sparsity: tuple[Sparsity, ...]
    """Kinds of sparsity from which this target gains."""
    measurement: AnyProtocol
    race: RaceSpec = RaceSpec()

    @model_validator(mode="after")
    def _check(self) -> "Target":
        self.runtime.check(self)
        return self


def in_order(targets: Sequence[Target]) -> tuple[Target, ...]:
    """As their runtimes stand in the table."""
    order = list(RUNTIMES)
    return tuple(sorted(targets, key=lambda target: order.index(target.runtime.name)))


def measured_by(target: Target, protocol: str | None) -> Target:
    """The target with another protocol for one run; None: with its own.

    Raises:
        SpecError: there is no such protocol.

    """
    if protocol is None:
        return target
    usual = protocol_named(protocol, target.measurement)
    return target.model_copy(update={"measurement": usual})
