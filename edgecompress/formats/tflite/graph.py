"""A TFLite file as objects that can be edited: `reader` makes them of one, `write` one of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecompress.errors import RuntimeMissing

Array = NDArray[np.generic]


@dataclass(frozen=True)
class QParams:
    """real = scale * (stored - zero_point): arrays [1], or [C] along `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0

    def same_as(self, other: "QParams | None") -> bool:
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


def per_tensor(scale: float, zero_point: int) -> QParams:
    return QParams(np.array([scale], np.float32), np.array([zero_point], np.int64))


@dataclass(eq=False)
class Tensor:
    """Two tensors are the same only when they are one object."""

    name: str
    shape: tuple[int, ...]
    """Dimensions that are free at run time are 1 here."""
    dtype: str
    """As numpy writes it: float32, int8; 'string', 'int4' and the like where numpy has none."""
    data: Array | None = None
    """A constant's, in `shape`; the bytes alone of what is sparse, or of no type of numpy's."""
    qparams: QParams | None = None
    free: frozenset[int] = frozenset()
    """Dimensions that are free at run time."""
    variable: bool = False
    """Whether it keeps its value from one inference to the next."""

    @property
    def constant(self) -> bool:
        """Whether the file holds its values."""
        return self.data is not None

    @property
    def per_channel(self) -> bool:
        return self.qparams is not None and self.qparams.scale.size > 1


@dataclass(eq=False)
class Operator:
    op_type: str
    """As the schema calls it: CONV_2D; the name of a custom operator."""
    inputs: list[Tensor | None]
    """None: an optional input that is left out."""
    outputs: list[Tensor]
    version: int = 1
    options: Any = None
    """What the schema generates for this operator (`Conv2DOptionsT`); it has no types."""
    custom: bool = False
    raw: Any = None
    """The generated operator that it was read from, with fields that nothing here touches."""

    @property
    def data(self) -> Tensor:
        """The first input."""
        first = self.inputs[0]
        assert first is not None
        return first

    def option(self, name: str, default: int = 0) -> int:
        """An integer, enum or flag by the schema's name, such as strideW."""
        return int(getattr(self.options, name, default))

    @property
    def runs(self) -> set[int]:
        """The graphs that it runs, as WHILE does."""
        given = {} if self.options is None else vars(self.options)
        return {index for name, index in given.items() if name.endswith("SubgraphIndex")}


@dataclass
class Graph:
    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: list[Operator]
    """In the order in which they run."""

    def producer(self, tensor: Tensor | None) -> Operator | None:
        return next((op for op in self.operators if tensor in op.outputs), None)

    def readers(self, tensor: Tensor) -> list[Operator]:
        return [op for op in self.operators if tensor in op.inputs]

    def only_reader(self, tensor: Tensor) -> Operator | None:
        """Who alone reads `tensor`, which does not leave the graph either."""
        readers = self.readers(tensor)
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def redirect(self, old: Tensor, new: Tensor) -> None:
        """Whoever reads `old` reads `new` from here on. `old` must not leave the graph."""
        for op in self.operators:
            op.inputs = [new if tensor is old else tensor for tensor in op.inputs]

    def drop_unused(self) -> None:
        """Remove operators that nothing reads, last first."""
        used = set(map(id, self.outputs))
        kept = []
        for op in reversed(self.operators):
            if any(id(tensor) in used for tensor in op.outputs):
                used.update(id(tensor) for tensor in op.inputs)
                kept.append(op)
        self.operators = kept[::-1]


@dataclass(frozen=True)
class Signature:
    """Names of one graph's inputs and outputs, in its order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    key: str = "serving_default"
    graph: int = 0


@dataclass
class Model:
    graphs: list[Graph]
    """The first is the one that runs; operators such as WHILE run the others."""
    signatures: list[Signature]
    metadata: dict[str, bytes] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The one that runs."""
        return self.graphs[0]


def like(tensor: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    """A computed tensor of the same type and scale."""
    return replace(tensor, name=name, shape=shape, data=None)


def constant(name: str, values: object, dtype: str = "int32") -> Tensor:
    array = np.array(values, dtype)
    return Tensor(name, array.shape, dtype, array)


def integers_of(tensor: Tensor | None) -> list[int] | None:
    """The numbers of a constant, in a row; None where it is computed."""
    return None if tensor is None or tensor.data is None else tensor.data.reshape(-1).tolist()


def options(kind: str, **values: object) -> Any:
    """What the schema generates for the options of an operator, such as 'PadOptions'."""
    made = getattr(schema(), f"{kind}T")()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def schema() -> ModuleType:
    """What ai-edge-litert generates of the format's schema: 20,000 lines.

    Raises:
        RuntimeMissing: it is not installed.

    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise RuntimeMissing(
            "TFLite files need ai-edge-litert; run: pip install 'edgecompress[litert]'"
        ) from None
    module: ModuleType = schema_py_generated
    return module


def enum_of(enum: type) -> Iterator[tuple[str, int]]:
    return ((name, value) for name, value in vars(enum).items() if isinstance(value, int))
