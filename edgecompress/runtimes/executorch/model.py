"""What is read of a .pte: its operators in the order in which they run, those of delegates too."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Tensor:
    name: str
    dtype: str
    """As numpy spells it."""
    shape: tuple[int, ...]
    """XNNPACK's images are NHWC."""
    constant: bool
    scales: tuple[float, ...] = ()
    """One, or one for each index along `axis`; none where it is float."""
    zero_point: int = 0
    axis: int = 0
    content: memoryview | None = None
    """What a constant holds that a delegate reads."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operator."""

    op_type: str
    """As the runtime calls it: 'aten::slice_copy' of the portable kernels, 'XNNConv2d'."""
    delegated: bool
    """Whether XNNPACK runs it; else a portable kernel does."""
    number: int
    """In order of execution."""
    inputs: tuple[Tensor, ...]
    """What a layer of the delegate reads: data, weight, bias where there is one."""
    outputs: tuple[Tensor, ...]
    module: str = ""
    """Path of the user's module, where the file says."""
    options: Mapping[str, int] = field(default_factory=dict)
    """Integers and booleans by the schema's names; of a portable operator by position: '4'."""

    @property
    def name(self) -> str:
        """The format has none of its own."""
        return f"{self.module or self.op_type}/{self.number}"


@dataclass(frozen=True)
class Model:
    """A whole file with one method."""

    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    notes: Mapping[str, str]
    """What edgecompress wrote into it, by key: methods that return a constant text."""
    branches: bool
    """Whether it has jumps, so that an operator may run any number of times."""
