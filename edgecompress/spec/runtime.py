"""`runtime:` of a target: what all runtimes have in common, and what each says it can do.

Every runtime brings a section of its own, with its keys and checks, in its folder of
`edgecompress/runtimes/`. The core asks for capabilities and never for a name.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from edgecompress.spec.base import Spec
from edgecompress.spec.scheme import Activations

if TYPE_CHECKING:
    from edgecompress.spec.target import Target

Positive = Annotated[int, Field(gt=0)]
Joins = Literal["free", "shared", "fused"]
Outputs = Literal["int8", "as_read"]
FloatDtype = Literal["float32", "float16", "bfloat16"]


class Edges(Spec):
    """What the file takes and gives at its inputs and outputs."""

    dtype: Literal["float32", "int8"] = "float32"
    """int8: quantised by the caller, with the scale and zero point that the artifact names."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """The order of four dimensions in inputs."""


@dataclass(frozen=True)
class Capabilities:
    """What a runtime takes of a target, and how its files come to run."""

    activations: tuple[Activations, ...]
    """What its kernels take; the first is advised where a target asks for another."""
    edges: tuple[Edges, ...] = (Edges(),)
    joins: tuple[Joins, ...] = ("free", "shared")
    outputs: tuple[Outputs, ...] = ("int8",)
    """as_read: its linear layers and products may write floats."""
    float_dtypes: tuple[FloatDtype, ...] = ("float32",)
    gpu: bool = False
    """Whether its targets name a GPU, as they then must."""
    takes_integers: bool = True
    """Whether a quantised graph comes to the exporter with int8 weights inside; else with float
    weights -> Q -> DQ (`edgecompress.compress.quantize.convert` makes both).
    """
    builds_engine: bool = False
    """Whether the device makes an engine of the file, which takes minutes and fits it alone."""
    runs_here: bool = True
    """Whether this machine can run its files as a board does; else the definition of the operators
    stands in, run by another runtime's reference kernels.
    """
    reference_kernels: bool = True
    """Whether it can run a file by plain kernels, which its operators are defined by."""
    saturates_without_vnni: tuple[str, ...] = ()
    """Types of activations for which its x86 kernels add two products in 16 bits where the CPU has
    no VNNI.
    """


class RuntimeSection(Spec):
    """What every `runtime:` has. A section adds its keys, and a `name` that is its own."""

    capabilities: ClassVar[Capabilities]

    name: str
    version: str
    """What the board needs, as a PEP 440 specifier: '>=1.17'."""
    threads: Positive

    @classmethod
    def of(cls, target: "Target") -> Self:
        """That of a target which names this runtime."""
        assert isinstance(target.runtime, cls), f"{target.name} is for {target.runtime.name}"
        return target.runtime

    @property
    def label(self) -> str:
        """What an inspection calls it: name, version and what else decides the kernels."""
        return f"{self.name} {self.version}"

    def check(self, target: "Target") -> None:
        """Raises ValueError where the rest of the target asks for what the runtime lacks."""
        can, activations = self.capabilities, target.quantization.activations
        if target.edges not in can.edges:
            raise ValueError(f"runtime {self.name} takes edges of {_listed(can.edges)} only")
        if target.float_dtype not in can.float_dtypes:
            raise ValueError(
                f"runtime {self.name} computes in {' or '.join(can.float_dtypes)} where nothing is"
                f" quantised; float_dtype is {target.float_dtype}"
            )
        if can.gpu and target.gpu is None:
            raise ValueError(f"runtime {self.name} needs gpu: {{architecture: sm_87}}")
        if target.gpu is not None and not can.gpu:
            raise ValueError(f"runtime {self.name} has no use for gpu; leave it out")
        if activations not in can.activations:
            raise ValueError(
                f"runtime {self.name} takes {_in_words(can.activations)} activations only; write"
                f" activations: {_yaml(can.activations[0])}"
            )
        wanted = target.quantization
        known = {"joins": (wanted.joins, can.joins), "outputs": (wanted.outputs, can.outputs)}
        for key, (given, all_of_them) in known.items():
            if given not in all_of_them:
                raise ValueError(
                    f"runtime {self.name} has no {key} {given}; known: {', '.join(all_of_them)}"
                )


def _in_words(activations: tuple[Activations, ...]) -> str:
    return " or ".join(f"{one.dtype} {one.scheme}" for one in activations)


def _listed(edges: tuple[Edges, ...]) -> str:
    return " or ".join(map(_yaml, edges))


def _yaml(spec: Spec) -> str:
    pairs = (f"{key}: {value}" for key, value in spec.model_dump(mode="json").items())
    return f"{{{', '.join(pairs)}}}"
