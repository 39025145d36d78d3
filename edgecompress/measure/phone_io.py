"""Arrays as tools on phones take and give them: bytes without shapes, one inference a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import AgentError, ArtifactError
from edgecompress.measure.tensors import Array

Named = dict[str, Array]


@dataclass(frozen=True)
class OneInference:
    """Shapes of one inference of a file, in the file's order."""

    inputs: tuple[tuple[int, ...], ...]
    input_bytes: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]
    output_bytes: tuple[int, ...]

    @property
    def shapes_flag(self) -> str:
        return ":".join(",".join(map(str, shape)) for shape in self.inputs)


def inference_of(artifact: Artifact, arrays: Named, rows: int) -> OneInference:
    """The inference of `rows` samples at once; `arrays`: [N, ...] by name.

    Raises:
        ArtifactError: the arrays do not fit the file, or an output's shape is not known before.

    """
    inputs = tuple(_input_shape(artifact, info, arrays, rows) for info in artifact.inputs)
    outputs = tuple(_output_shape(artifact, info, rows) for info in artifact.outputs)
    return OneInference(
        inputs=inputs,
        input_bytes=tuple(map(_size_bytes, artifact.inputs, inputs)),
        outputs=outputs,
        output_bytes=tuple(map(_size_bytes, artifact.outputs, outputs)),
    )


def fixed_batch(artifact: Artifact) -> int | None:
    """Samples that the file takes at once; None: as many as come."""
    sizes = {info.shape[0] for info in artifact.inputs if info.shape}
    fixed = sorted(size for size in sizes if isinstance(size, int))
    if len(fixed) > 1:
        raise ArtifactError(f"{artifact.path}: inputs have different fixed batch sizes: {fixed}")
    return fixed[0] if fixed else None


def samples_in(artifact: Artifact, arrays: Named) -> int:
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise ArtifactError(
            f"{artifact.path}: inputs must hold the same number of samples, not 0: {lengths}"
        )
    return next(iter(lengths.values()))


def filled(arrays: Named, start: int, stop: int, rows: int) -> Named:
    """Samples start to stop; copies of the last one make the last inference whole."""
    missing = -(stop - start) % rows
    return {
        name: np.concatenate([array[start:stop], np.repeat(array[stop - 1 : stop], missing, 0)])
        for name, array in arrays.items()
    }


def outputs_of_runs(
    artifact: Artifact, one: OneInference, content: bytes, runs: int
) -> list[Array]:
    """Each output, [runs * rows, ...], from the bytes of all runs one after the other.

    Raises:
        AgentError: there are more bytes, or fewer.

    """
    size = sum(one.output_bytes)
    if len(content) != size * runs:
        raise AgentError(
            f"{artifact.path}: the tool wrote {len(content)} bytes of outputs, not {size} in {runs}"
            " runs"
        )
    table = np.frombuffer(content, np.uint8).reshape(runs, size)
    ends = np.cumsum(one.output_bytes)
    return [
        np.ascontiguousarray(part).view(np.dtype(info.dtype)).reshape(runs * shape[0], *shape[1:])
        for info, shape, part in zip(
            artifact.outputs, one.outputs, np.split(table, ends[:-1], axis=1), strict=True
        )
    ]


def _input_shape(artifact: Artifact, info: TensorInfo, arrays: Named, rows: int) -> tuple[int, ...]:
    array = arrays.get(info.name)
    if array is None:
        raise ArtifactError(f"{artifact.path}: input '{info.name}' is missing in {sorted(arrays)}")
    shape = (rows, *array.shape[1:])
    fits = len(shape) == len(info.shape) and all(
        isinstance(want, str) or want == have for want, have in zip(info.shape, shape, strict=True)
    )
    if not fits or array.dtype != np.dtype(info.dtype):
        raise ArtifactError(
            f"{artifact.path}: input '{info.name}' takes {info.dtype} {list(info.shape)},"
            f" not {array.dtype.name} {list(shape)}"
        )
    return shape


def _output_shape(artifact: Artifact, info: TensorInfo, rows: int) -> tuple[int, ...]:
    rest: Sequence[int | str] = info.shape[1:]
    if not info.shape or (info.shape[0] != rows and not isinstance(info.shape[0], str)):
        raise ArtifactError(
            f"{artifact.path}: output '{info.name}' has shape {list(info.shape)} for {rows}"
            " samples; the first dimension must be the batch"
        )
    known = tuple(size for size in rest if isinstance(size, int))
    if len(known) != len(rest):
        raise ArtifactError(
            f"{artifact.path}: output '{info.name}' has the shape {list(info.shape)};"
            " the tool writes bytes only, so all but the batch must be fixed"
        )
    return (rows, *known)


def _size_bytes(info: TensorInfo, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * np.dtype(info.dtype).itemsize
