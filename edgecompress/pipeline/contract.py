"""A file used by nothing but what it says of itself, and applications held to that."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgecompress.artifact import Artifact
from edgecompress.contract.application import tensor_of
from edgecompress.contract.levels import takes_levels
from edgecompress.contract.reference import Departure, Prepared, Reference
from edgecompress.contract.references import reference
from edgecompress.errors import ArtifactError, SpecError
from edgecompress.measure.evaluate import Runs, infer_all
from edgecompress.measure.tensors import Array, dequantize, feed, numbers_in, write_npz
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.progress import Progress
from edgecompress.spec.preprocessing import TextPreprocessing
from edgecompress.store import atomic_write


@dataclass(frozen=True)
class Ran:
    """What a file makes of a picture, a sound or a text."""

    noun: str
    """Which of them it was."""
    outputs: dict[str, Array]
    """Arrays by their names, dequantised."""
    labels: tuple[str, ...] | None


def run_on(file: Path, given: Path, progress: Progress) -> Ran:
    """Prepare a picture, a sound or a text as a file says, and run the file on it here.

    Raises:
        ArtifactError: the file cannot be read, or does not say how its input is prepared.
        SpecError: what is given cannot be read.
        DeviceError: the runtime is not installed here.

    """
    artifact = describe_file(file)
    declared = _declared(artifact)
    with progress.stage("run"):
        outputs = _outputs(artifact, declared.prepare(given))
    names = [info.name for info in artifact.outputs]
    return Ran(declared.noun, dict(zip(names, outputs, strict=True)), artifact.labels)


def check_app(
    file: Path, app: str | None, vectors: Path | None, progress: Progress
) -> Departure | None:
    """Whether an application prepares what it is given as a file says; see docs/contract.md.

    Args:
        file: that says how.
        app: the application's command; None: only vectors are written.
        vectors: a folder for what is drawn, the tensors and the file's outputs; None: nowhere.
        progress: told of both.

    Raises:
        ArtifactError, DeviceError: as `run_on`.
        SpecError: there is neither an application nor a folder, or the application fails.

    """
    if app is None and vectors is None:
        raise SpecError("neither --app nor --vectors: give the application's command, or a folder")
    artifact = describe_file(file)
    declared = _declared(artifact)
    if vectors is not None:
        with progress.stage("write vectors"):
            _write_vectors(artifact, declared, vectors)
    if app is None:
        return None
    with (
        progress.stage("run the application"),
        tempfile.TemporaryDirectory(prefix="edgecompress-") as folder,
    ):
        paths = declared.draw(Path(folder))
        numbers = sum(map(numbers_in, artifact.inputs))
        given = [_real(tensor_of(app, path, numbers), artifact) for path in paths]
        return declared.departure(given, paths)


def _real(given: Array, artifact: Artifact) -> NDArray[np.float64]:
    """What integers stand for where the file takes those; levels, tokens and other numbers as they
    are.
    """
    info, declared = artifact.inputs[0], artifact.preprocessing
    as_they_are = takes_levels(declared) or isinstance(declared, TextPreprocessing)
    stands_for_another = given.dtype.name == info.dtype and not as_they_are
    return (dequantize(given, info) if stands_for_another else given).astype(np.float64)


def _declared(artifact: Artifact) -> Reference:
    if artifact.preprocessing is None:
        raise ArtifactError(
            f"{artifact.path}: does not say how its input is prepared; write preprocessing() in the"
            " task and deploy again (docs/contract.md)"
        )
    declared = reference(artifact.preprocessing, artifact.inputs)
    if len(artifact.inputs) != declared.inputs:
        raise ArtifactError(
            f"{artifact.path}: has {len(artifact.inputs)} inputs, and its declaration is of"
            f" {declared.inputs}; deploy again"
        )
    for info in artifact.inputs:
        if not any(_fits(info.shape[1:], shape) for shape in declared.shapes):
            raise ArtifactError(
                f"{artifact.path}: declares an input of {list(declared.shapes[0])}, and takes"
                f" {list(info.shape[1:])}; deploy again"
            )
    return declared


def _fits(shape: tuple[int | str, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(size, str) or size == want for size, want in zip(shape, wanted, strict=True)
    )


def _outputs(artifact: Artifact, prepared: Prepared) -> list[Array]:
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        runs = Runs(agent_on(HERE, Path(folder)), loaded_here(artifact), Path(folder))
        ((outputs, _),) = infer_all(runs, [(tuple(map(torch.from_numpy, prepared)), None)])
    return outputs


def _write_vectors(artifact: Artifact, declared: Reference, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"{folder}: cannot be made: {error.strerror}") from None
    paths = declared.draw(folder)
    names = [info.name for info in artifact.outputs]
    for path in paths:
        prepared = declared.prepare(path)
        outputs = _outputs(artifact, prepared)
        # Where there are several, each has a pair of its own.
        which = "" if len(paths) == 1 else f"{path.stem}-"
        write_npz(folder / f"{which}input.npz", feed(artifact, prepared))
        write_npz(folder / f"{which}outputs.npz", dict(zip(names, outputs, strict=True)))
    if artifact.preprocessing is not None:
        told = artifact.preprocessing.model_dump_json(indent=2)
        atomic_write(folder / "preprocessing.json", told.encode() + b"\n")
