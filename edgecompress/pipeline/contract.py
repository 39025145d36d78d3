"""A file used by nothing but what it says of itself, and applications held to that."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.contract.application import tensor_of
from edgecompress.contract.mistakes import Departure, departure
from edgecompress.contract.picture import drawn, read_picture, write_png
from edgecompress.contract.prepare import Picture, prepare
from edgecompress.errors import ArtifactError, SpecError
from edgecompress.measure.evaluate import Runs, infer_all
from edgecompress.measure.tensors import Array, dequantize, feed, write_npz
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.progress import Progress
from edgecompress.spec.preprocessing import ImagePreprocessing
from edgecompress.store import atomic_write


@dataclass(frozen=True)
class Ran:
    """What a file makes of a picture."""

    outputs: dict[str, Array]
    """Arrays by their names, dequantised."""
    labels: tuple[str, ...] | None


def run_picture(file: Path, picture: Path, progress: Progress) -> Ran:
    """Prepare a picture as a file says, and run the file on it here.

    Raises:
        ArtifactError: the file cannot be read, or does not say how its input is prepared.
        SpecError: the picture cannot be read.
        DeviceError: the runtime is not installed here.

    """
    artifact = describe_file(file)
    declared = _declared(artifact)
    with progress.stage("run"):
        outputs = _outputs(artifact, prepare(read_picture(picture), declared))
    names = [info.name for info in artifact.outputs]
    return Ran(dict(zip(names, outputs, strict=True)), artifact.labels)


def check_app(
    file: Path, app: str | None, vectors: Path | None, progress: Progress
) -> Departure | None:
    """Whether an application prepares a picture as a file says; see docs/contract.md.

    Args:
        file: that says how.
        app: the application's command; None: only vectors are written.
        vectors: a folder for the picture, the tensor and the file's outputs; None: nowhere.
        progress: told of both.

    Raises:
        ArtifactError, DeviceError: as `run_picture`.
        SpecError: there is neither an application nor a folder, or the application fails.

    """
    if app is None and vectors is None:
        raise SpecError("neither --app nor --vectors: give the application's command, or a folder")
    artifact = describe_file(file)
    declared = _declared(artifact)
    picture = drawn(declared)
    if vectors is not None:
        with progress.stage("write vectors"):
            _write_vectors(artifact, picture, declared, vectors)
    if app is None:
        return None
    (info,) = artifact.inputs
    with (
        progress.stage("run the application"),
        tempfile.TemporaryDirectory(prefix="edgecompress-") as folder,
    ):
        path = Path(folder) / "picture.png"
        write_png(picture, path)
        given = tensor_of(app, path, declared.channels * declared.size[0] * declared.size[1])
        return departure(_real(given, info), picture, declared, info.layout)


def _real(given: Array, info: TensorInfo) -> NDArray[np.float64]:
    """What integers stand for where the file takes them; other numbers as they are."""
    return (
        dequantize(given, info).astype(np.float64)
        if given.dtype.name == info.dtype
        else given.astype(np.float64)
    )


def _declared(artifact: Artifact) -> ImagePreprocessing:
    if artifact.preprocessing is None:
        raise ArtifactError(
            f"{artifact.path}: does not say how its input is prepared; write preprocessing() in the"
            " task and deploy again (docs/contract.md)"
        )
    if len(artifact.inputs) != 1:
        raise ArtifactError(
            f"{artifact.path}: has {len(artifact.inputs)} inputs, and its declaration is of one"
        )
    declared, (info,) = artifact.preprocessing, artifact.inputs
    sides = (*declared.size, declared.channels)
    order = (0, 1, 2) if info.layout == "nhwc" else (2, 0, 1)
    wanted = [sides[at] for at in order]
    if len(info.shape) != 4 or any(
        isinstance(size, int) and size != side
        for size, side in zip(info.shape[1:], wanted, strict=True)
    ):
        raise ArtifactError(
            f"{artifact.path}: declares an input of {wanted}, and takes {list(info.shape[1:])};"
            " deploy again"
        )
    return declared


def _outputs(artifact: Artifact, prepared: Array) -> list[Array]:
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        runs = Runs(agent_on(HERE, Path(folder)), loaded_here(artifact), Path(folder))
        ((outputs, _),) = infer_all(runs, [(torch.from_numpy(prepared), None)])
    return outputs


def _write_vectors(
    artifact: Artifact, picture: Picture, declared: ImagePreprocessing, folder: Path
) -> None:
    prepared = prepare(picture, declared)
    outputs = _outputs(artifact, prepared)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"{folder}: cannot be made: {error.strerror}") from None
    write_png(picture, folder / "picture.png")
    write_npz(folder / "input.npz", feed(artifact, [prepared]))
    names = [info.name for info in artifact.outputs]
    write_npz(folder / "outputs.npz", dict(zip(names, outputs, strict=True)))
    atomic_write(folder / "preprocessing.json", declared.model_dump_json(indent=2).encode() + b"\n")
