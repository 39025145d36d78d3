"""Arrays on their way into and out of a file: names, dtypes, shapes, quantisation, .npz."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import AgentError, StorageError, TaskError

Array = NDArray[np.generic]
INDICES = {"int32", "int64"}
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    # A bit that flipped on the way may say that it is encrypted, too new, or larger than memory.
    RuntimeError,
    MemoryError,
    # A lone .npy has no names.
    AttributeError,
)


def feed(artifact: Artifact, arrays: Sequence[Array]) -> dict[str, Array]:
    """The file's inputs by name, in its layout and types, from the task's in order.

    Images come as [N, C, H, W] and are permuted where the file takes [N, H, W, C]; floats are
    quantised where it takes integers, and integers become as wide as it has them.

    Args:
        artifact: the file.
        arrays: one per input, each [N, ...].

    Raises:
        TaskError: the number of inputs, a dtype or a shape is not what the file takes.

    """
    if len(arrays) != len(artifact.inputs):
        names = ", ".join(info.name for info in artifact.inputs)
        raise TaskError(
            f"the task gives {len(arrays)} inputs, {artifact.path.name} takes"
            f" {len(artifact.inputs)} ({names})"
        )
    fed = {
        info.name: _as_wide(quantize(_laid_out(array, info), info), info)
        for info, array in zip(artifact.inputs, arrays, strict=True)
    }
    for info in artifact.inputs:
        _check(info, fed[info.name], artifact.path.name)
    return fed


def _laid_out(array: Array, info: TensorInfo) -> Array:
    if info.layout != "nhwc" or array.ndim != 4:
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _as_wide(array: Array, info: TensorInfo) -> Array:
    """Indices are int64 in torch, int32 in TFLite; those that do not fit are left to be refused."""
    if not {array.dtype.name, info.dtype} <= INDICES or not array.size:
        return array
    limits = np.iinfo(info.dtype)
    fits = limits.min <= int(array.min()) and int(array.max()) <= limits.max
    return array.astype(info.dtype) if fits else array


def quantize(array: Array, info: TensorInfo) -> Array:
    """Clip(round(x / scale) + zero_point), ties to even as in ONNX's QuantizeLinear.

    For a float array for an integer input that has a scale; anything else is returned as it is.
    """
    if not _is_quantized(info) or not np.issubdtype(array.dtype, np.floating):
        return array
    limits = np.iinfo(info.dtype)
    scale, zero_point = _qparams(info)
    steps = np.rint(array.astype(np.float32) / np.float32(scale)) + zero_point
    quantized: Array = np.clip(steps, limits.min, limits.max).astype(info.dtype)
    return quantized


def dequantize(array: Array, info: TensorInfo) -> Array:
    """(q - zero_point) * scale as float32 for an integer output that has a scale."""
    if not _is_quantized(info):
        return array
    scale, zero_point = _qparams(info)
    steps = array.astype(np.int64) - zero_point
    values: Array = (steps * np.float64(scale)).astype(np.float32)
    return values


def random_inputs(artifact: Artifact, seed: int) -> list[Array]:
    """What a task would give for one inference of a file without one: free dimensions are 1, images
    are [N, C, H, W] whatever the file's layout.

    Floats, also for integer inputs that have a scale, come from a standard normal distribution;
    other integers are 0 and 1, which every embedding and mask can take.
    """
    generator = np.random.default_rng(seed)
    arrays: list[Array] = []
    for info in artifact.inputs:
        shape = tuple(size if isinstance(size, int) else 1 for size in info.shape)
        if info.layout == "nhwc" and len(shape) == 4:
            shape = (shape[0], shape[3], shape[1], shape[2])
        if _is_quantized(info):
            arrays.append(generator.standard_normal(shape, np.float32))
        elif np.issubdtype(np.dtype(info.dtype), np.floating):
            arrays.append(generator.standard_normal(shape).astype(info.dtype))
        else:
            arrays.append(generator.integers(0, 2, shape).astype(info.dtype))
    return arrays


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Not np.savez: a tensor named 'file' clashes with its own argument.

    Raises:
        StorageError: the disk is full or the folder cannot be written.

    """
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}; check space and permissions there"
        ) from None


def read_npz(path: Path) -> dict[str, Array]:
    """Arrays by name, in the file's order.

    Raises:
        StorageError: it cannot be read as .npz.

    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise StorageError(f"{path}: not a readable .npz file: {error}") from None


def outputs_of(artifact: Artifact, path: Path) -> list[Array]:
    """What the agent wrote, in the file's order, dequantised.

    Raises:
        AgentError: an output that the artifact names is not there, or holds no numbers.

    """
    arrays = read_npz(path)
    missing = [info.name for info in artifact.outputs if info.name not in arrays]
    if missing:
        raise AgentError(
            f"{artifact.path.name}: the runtime gave no output {missing}, but {list(arrays)}"
        )
    for info in artifact.outputs:
        if arrays[info.name].dtype.kind not in "biuf":
            raise AgentError(
                f"{artifact.path.name}: output '{info.name}' came as {arrays[info.name].dtype},"
                f" not as {info.dtype}"
            )
    return [dequantize(arrays[info.name], info) for info in artifact.outputs]


def _is_quantized(info: TensorInfo) -> bool:
    return info.scale is not None and np.issubdtype(np.dtype(info.dtype), np.integer)


def _qparams(info: TensorInfo) -> tuple[float, int]:
    """Scale and zero point, with what stands for one that is not said."""
    scale = 1.0 if info.scale is None else info.scale
    return scale, 0 if info.zero_point is None else info.zero_point


def _check(info: TensorInfo, array: Array, file: str) -> None:
    """The batch dimension is left to the agent, which cuts and fills."""
    fits = array.ndim == len(info.shape) and all(
        not isinstance(want, int) or want == have
        for want, have in zip(info.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise TaskError(
            f"{file}: input '{info.name}' takes shape {list(info.shape)},"
            f" the task gives {list(array.shape)}"
        )
    if array.dtype.name != info.dtype:
        raise TaskError(
            f"{file}: input '{info.name}' takes {info.dtype}, the task gives {array.dtype.name}"
        )
