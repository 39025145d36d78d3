"""Tables from a file's format, and a target's runtime, to what reads and inspects it."""

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edgecompress.artifact import Artifact, Format
from edgecompress.errors import ArtifactError, SpecError, in_place_of
from edgecompress.inspect import (
    describe,
    describe_tflite,
    inspect_onnx,
    inspect_tensorrt,
    inspect_tflite,
)
from edgecompress.measure.agent import Agent
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.target import RuntimeName, Target


class FormatRow(NamedTuple):
    suffix: str
    describe: Callable[[Path], Artifact]
    runtime: RuntimeName
    """Whose kernels it is inspected for when no target is named."""


FORMATS: dict[Format, FormatRow] = {
    "onnx": FormatRow(".onnx", describe, "onnxruntime"),
    "tflite": FormatRow(".tflite", describe_tflite, "litert"),
}
"""Files that can be read again; an engine is the device's own."""


def describe_file(file: Path, suffix: str | None = None) -> Artifact:
    """What a file is, by its suffix; by `suffix` where its name has none, as in the store.

    Raises:
        ArtifactError: missing, damaged, or of no format that is known.
        RuntimeMissing: what reads the format is not installed here.

    """
    rows = {row.suffix: row for row in FORMATS.values()}
    found = rows.get(suffix or file.suffix)
    if found is not None:
        return found.describe(file)
    if not file.exists():
        raise ArtifactError(f"{file}: cannot be read: No such file or directory")
    raise ArtifactError(f"{file}: format '{file.suffix}' is unknown; known: {', '.join(rows)}")


def inspect_for(
    artifact: Artifact, target: Target | None, agent: Agent, folder: Path
) -> Inspection:
    """What a target's runtime makes of a file.

    Args:
        artifact: the file.
        target: whose runtime, delegate and releases decide; None: the agent's machine, with the
            runtime that the format is made for.
        agent: optimises the graph where a runtime does so.
        folder: for files on their way.

    Raises:
        SpecError: the target's runtime does not run files of this format.
        ArtifactError: the file is damaged, or its MACs cannot be counted.
        DeviceError: the runtime is not installed where the agent runs.

    """
    runtime = FORMATS[artifact.format].runtime if target is None else target.runtime.name
    look = INSPECTORS.get((artifact.format, runtime))
    if look is None:
        formats = ", ".join(format for format, name in INSPECTORS if name == runtime)
        raise SpecError(f"{artifact.path}: {runtime} runs {formats}, not {artifact.format}")
    return look(artifact, target, agent, folder)


def _onnxruntime(
    artifact: Artifact, _target: Target | None, agent: Agent, folder: Path
) -> Inspection:
    """What runs, by the graph that ONNX Runtime makes on the agent's machine."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        optimised = Path(name) / "optimised.onnx"
        runtime, machine = agent.optimise(artifact.path, artifact.format, optimised)
        with in_place_of(artifact.path, optimised):
            return inspect_onnx(artifact.path, optimised, runtime, machine)


def _litert(artifact: Artifact, target: Target | None, _agent: Agent, _folder: Path) -> Inspection:
    """LiteRT runs the file's operators as they stand, so it is read where it is."""
    if target is None:
        return inspect_tflite(artifact.path, "litert", platform.machine())
    runtime = target.runtime
    level = f" at API level {runtime.api_level}" if runtime.api_level else ""
    return inspect_tflite(
        artifact.path,
        f"litert {runtime.version}, {runtime.delegate}{level}",
        platform.machine() if target.cpu == "native" else target.cpu.architecture,
        runtime.delegate,
        runtime.api_level,
    )


def _tensorrt(
    artifact: Artifact, target: Target | None, _agent: Agent, _folder: Path
) -> Inspection:
    """What runs, by the rules of the target's release; only the board knows what it does."""
    if target is None:
        raise SpecError(f"{artifact.path}: TensorRT's rules differ by release; name a target")
    return inspect_tensorrt(artifact.path, target.runtime.release)


_Inspector = Callable[[Artifact, Target | None, Agent, Path], Inspection]

INSPECTORS: dict[tuple[Format, RuntimeName], _Inspector] = {
    ("onnx", "onnxruntime"): _onnxruntime,
    ("onnx", "tensorrt"): _tensorrt,
    ("tflite", "litert"): _litert,
}
