"""The graph that OpenVINO runs, as the agent's runner writes it: JSON of a device, so anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgecompress.errors import AgentError, SpecError
from edgecompress.spec.base import Many, Spec, parse
from edgecompress.spec.untrusted import NotJson, read_json

MAX_BYTES = 32 << 20
"""The most that the file may have: a node takes some 300 bytes."""

_TYPES = {
    "u8": "int8",
    "i8": "int8",
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "f64": "float64",
    "i16": "int16",
    "u16": "uint16",
    "i32": "int32",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "boolean": "bool",
}

Text = Annotated[str, Field(max_length=8192)]


class Part(Spec):
    """A primitive, or one that was fused into another."""

    type: Text
    """OpenVINO's name of it: Convolution, FullyConnected, FakeQuantize, Reorder."""
    precision: Text
    """That of its data: u8, f32; 'dynamic' where it is not told."""
    outputs: Text
    """Their precisions, with commas between."""
    origins: Text
    """Names of the operators that became it, with commas between."""

    @property
    def dtype(self) -> str:
        """What it reads, as numpy writes it; 'int8' stands for uint8 as well."""
        return _dtype(self.precision)

    @property
    def written(self) -> tuple[str, ...]:
        """What it writes."""
        return tuple(_dtype(part) for part in self.outputs.split(","))


class Node(Part):
    """One primitive. Constants, and what is computed of constants alone, are left out."""

    name: Text
    inputs: tuple[int, ...]
    """The nodes that it reads, by their place in the list."""
    inside: Many[Part]
    """What it would be if nothing were fused; given where it multiplies, and its own types are only
    those of what it reads and writes."""
    time_us: Annotated[float, Field(ge=0)] | None
    """One inference; None where it is not counted."""


class Graph(Spec):
    schema_version: Literal[3]
    device: Text
    """OpenVINO's names of those that run it: CPU."""
    float_type: Text
    """What float operators are computed in: f32, bf16."""
    nodes: Many[Node]

    @property
    def where(self) -> str:
        """Who computes, and in which type what is not int8."""
        return f"{self.device}, {_dtype(self.float_type)}"

    def sources(self, node: Node) -> Iterator[Node]:
        return (self.nodes[at] for at in node.inputs)


def read_graph(path: Path, where: str) -> Graph:
    """What the agent at `where` wrote.

    Raises:
        AgentError: it is no such graph, two nodes have one name, or one reads what comes after it.

    """
    told = f"{where}: the graph that OpenVINO runs cannot be read"
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        graph = parse(Graph, read_json(content, MAX_BYTES), "graph")
    except (NotJson, SpecError) as error:
        raise AgentError(f"{told}: {error}") from None
    if len({node.name for node in graph.nodes}) < len(graph.nodes):
        raise AgentError(f"{told}: a name comes twice")
    for place, node in enumerate(graph.nodes):
        if any(not 0 <= at < place for at in node.inputs):
            raise AgentError(f"{told}: '{node.name}' reads what does not come before it")
    return graph


def _dtype(precision: str) -> str:
    return _TYPES.get(precision, "unknown")
