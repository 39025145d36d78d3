"""A file, and the runtime that it is looked at for."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError, SpecError
from edgecompress.measure.agent import Agent
from edgecompress.runtimes import formats, runtime
from edgecompress.spec.load import load_targets
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.target import Target

if TYPE_CHECKING:
    from edgecompress.runtimes.base import Runtime


def describe_file(file: Path) -> Artifact:
    """What a file is, by its suffix.

    Raises:
        ArtifactError: missing, damaged, or of no format that is known.
        RuntimeMissing: what reads the format is not installed here.

    """
    known = {format.suffix: format for format, _ in formats().values()}
    format_of_file = known.get(file.suffix)
    if format_of_file is not None:
        return format_of_file.describe(file)
    if not file.exists():
        raise ArtifactError(f"{file}: cannot be read: No such file or directory")
    raise ArtifactError(f"{file}: format '{file.suffix}' is unknown; known: {', '.join(known)}")


def runtime_for(artifact: Artifact, target: Target | None) -> "Runtime":
    """The target's runtime; without a target, the first that reads files of this format.

    Raises:
        SpecError: the target's runtime does not run files of this format.

    """
    if target is None:
        return formats()[artifact.format][1]
    wanted = runtime(target.runtime.name)
    if wanted.format.name != artifact.format:
        raise SpecError(
            f"{artifact.path}: {wanted.name} runs {wanted.format.name}, not {artifact.format}"
        )
    return wanted


def target_for(artifact: Artifact, name: str, beside: Path | None = None) -> Target:
    """The target of that name; of a board, the first whose runtime reads files of this format.

    Raises:
        SpecError: as `load_targets`.

    """
    targets = load_targets(name, beside)
    reading = (
        target for target in targets if runtime(target.runtime.name).format.name == artifact.format
    )
    return next(reading, targets[0])


def inspect_for(
    artifact: Artifact, target: Target | None, agent: Agent, folder: Path
) -> Inspection:
    """What a target's runtime makes of a file; arguments and errors as in `Runtime.inspect`.

    Raises:
        SpecError: the target's runtime does not run files of this format.

    """
    return runtime_for(artifact, target).inspect(artifact, target, agent, folder)
