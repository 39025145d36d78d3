"""A model as one device runs it: the file that was exported, or what the device built of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError
from edgecompress.spec.engine import Engine, EngineFlags


@dataclass(frozen=True)
class Preparation:
    """How a device gets a file ready."""

    runner: str
    """Who runs it: a row of the agent's table."""
    engine: EngineFlags | None = None
    """How the device is to build an engine of it first; None: the file itself is run."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the target asks of the runtime, in the words of its runner in the agent."""


@dataclass(frozen=True)
class Loaded:
    """What `prepare` of a device's agent gives; its other methods run that."""

    artifact: Artifact
    """The file as it was exported."""
    runner: str
    engine: Engine | None = None
    """Built of it on that device, and run in its place."""
    options: Mapping[str, str] = field(default_factory=dict)
    """As in `Preparation`."""

    @property
    def file(self) -> Path:
        return self.artifact.path

    @property
    def name(self) -> str:
        """What errors call it."""
        return str(self.file) if self.engine is None else self.engine.engine


def fixed_shapes(model: Artifact, batch: int) -> dict[str, JsonValue]:
    """The shapes of inputs with a free dimension, which may be the first one only."""
    shapes: dict[str, JsonValue] = {}
    for tensor in model.inputs:
        sizes = [batch if at == 0 else size for at, size in enumerate(tensor.shape)]
        if any(isinstance(size, str) for size in sizes):
            raise ArtifactError(
                f"{model.path}: input '{tensor.name}' has the shape {list(tensor.shape)}; an"
                " engine can have a free batch only: export it with the other dimensions fixed"
            )
        if any(isinstance(size, str) for size in tensor.shape):
            shapes[tensor.name] = list(sizes)
    return shapes
