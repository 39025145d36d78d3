"""A TFLite file as plain data; `tflite_reader.load` makes it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero_point): one pair for the tensor, or one per slice."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    dimension: int
    """That the slices are taken along."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """Two tensors are the same only when they are one."""

    name: str
    shape: tuple[int, ...]
    """Dimensions that are free at run time are 1 here."""
    free: frozenset[int]
    """Those dimensions."""
    dtype: str
    """As numpy writes it: float32, int8; 'string', 'int4' and the like where numpy has none."""
    quantization: Quantization | None
    constant: bool
    """Whether the file holds its values."""


@dataclass(frozen=True, eq=False)
class Operator:
    op_type: str
    """CONV_2D; the name of a custom operator."""
    custom: bool
    version: int
    inputs: tuple[Tensor | None, ...]
    """None: an optional input that is left out."""
    outputs: tuple[Tensor, ...]
    options: Mapping[str, int]
    """Integers, enums and flags by the schema's names: strideW, fusedActivationFunction."""


@dataclass(frozen=True)
class Subgraph:
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    """In the order in which they run."""


@dataclass(frozen=True)
class Signature:
    """Names of one subgraph's inputs and outputs, in its order."""

    key: str
    subgraph: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    subgraphs: tuple[Subgraph, ...]
    """The first is the one that runs; operators such as WHILE run the others."""
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, bytes]
