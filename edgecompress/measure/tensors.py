"""Arrays that go into a file and come out of it: names, dtypes, shapes, quantisation, .npz."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.contract.levels import levels_of, takes_levels
from edgecompress.errors import AgentError, ArtifactError, StorageError, TaskError
from edgecompress.spec.preprocessing import ImagePreprocessing

Array = NDArray[np.generic]
MAX_NUMBERS = 1 << 25
"""The most in an input that is made up."""
INDICES = {"int32", "int64"}
UNKNOWN_BYTES = 1 << 30
"""The most of outputs whose size is only known when they are there."""
HEADERS_BYTES = 64 << 10
WIDEST_BYTES = 8
"""A number has no more in any type that a runtime puts out."""
KINDS = {"float": "f", "bfloat": "f", "int": "i", "uint": "u", "bool": "b"}
"""numpy's, by the names of types without their widths."""
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def feed(artifact: Artifact, arrays: Sequence[Array]) -> dict[str, Array]:
    """The file's inputs by name, in its layout and types, from the task's in order.

    Images come as [N, C, H, W] and are permuted where the file takes [N, H, W, C]; floats are
    quantised where it takes integers, levels again where it takes those, and integers become
    as wide as it has them.

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
    declared = artifact.preprocessing
    if takes_levels(declared):
        arrays = [levels_of(x, declared) if _is_image(x, declared) else x for x in arrays]
    fed = {
        info.name: _as_wide(quantize(_laid_out(array, info), info), info)
        for info, array in zip(artifact.inputs, arrays, strict=True)
    }
    for info in artifact.inputs:
        _check(info, fed[info.name], artifact.path.name)
    return fed


def _is_image(array: Array, declared: ImagePreprocessing) -> bool:
    """Whether it is one that was normalised; a wrong shape is left to be refused."""
    is_float = np.issubdtype(array.dtype, np.floating)
    return is_float and array.shape[1:] == (declared.channels, *declared.size)


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

    Raises:
        ArtifactError: an input holds no numbers, or more than a damaged file alone asks for.

    """
    generator = np.random.default_rng(seed)
    arrays: list[Array] = []
    for info in artifact.inputs:
        _check_possible(artifact, info)
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


def numbers_in(info: TensorInfo) -> int:
    """How many numbers one inference has, with 1 for what is free."""
    return prod(size for size in info.shape if isinstance(size, int))


def _check_possible(artifact: Artifact, info: TensorInfo) -> None:
    if numbers_in(info) > MAX_NUMBERS:
        raise ArtifactError(
            f"{artifact.path}: input '{info.name}' takes {numbers_in(info)} numbers at once; is the"
            " file damaged? Give it smaller inputs"
        )
    if not _is_of(info.dtype, "biuf"):
        raise ArtifactError(
            f"{artifact.path}: input '{info.name}' takes {info.dtype}, of which no values can be"
            " made up; give it inputs of numbers"
        )


def _is_of(dtype: str, kinds: str) -> bool:
    """Whether it is of numpy's own, which 'string', 'int4' and the like are not, and of a kind."""
    try:
        return np.dtype(dtype).kind in kinds
    except TypeError:
        return False


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name. Not by np.savez: a tensor named 'file' clashes with its own argument.

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


def read_npz(path: Path, limit_bytes: int | None = None) -> dict[str, Array]:
    """Arrays by name, in the file's order.

    Memory is taken for an array only when its header and the archive agree on its size, and for
    all of them together at most `limit_bytes`.

    Raises:
        StorageError: it cannot be read as .npz.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _arrays(archive, limit_bytes)
    except Exception as error:
        # A device may have written it, and what zipfile, its decompressors and numpy's parser of
        # headers raise of any bytes is written down nowhere.
        said = str(error) or type(error).__name__
        raise StorageError(f"{path}: not a readable .npz file: {said}") from None


def _arrays(archive: zipfile.ZipFile, limit_bytes: int | None) -> dict[str, Array]:
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if limit_bytes is not None and total > limit_bytes:
        raise ValueError(f"{total:,} bytes of arrays, where at most {limit_bytes:,} are expected")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two arrays have the same name")
    return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in NPY_HEADERS:
            raise ValueError(f"{member.filename} is of an unknown version of .npy: {version}")
        shape, _, dtype = NPY_HEADERS[version](file)
        if dtype.hasobject or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename} is not the array that its header describes")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def most_bytes(artifact: Artifact, samples: int) -> int:
    """The most bytes that the outputs of so many samples may have, at the widest type."""
    values = 0
    for info in artifact.outputs:
        known = [size for size in info.shape[1:] if isinstance(size, int)]
        if len(known) < len(info.shape[1:]):
            return UNKNOWN_BYTES
        batch = info.shape[0] if info.shape else 1
        values += math.prod(known) * (samples if isinstance(batch, str) else samples * batch)
    return values * WIDEST_BYTES + HEADERS_BYTES * (1 + len(artifact.outputs))


def outputs_of(artifact: Artifact, path: Path, samples: int | None = None) -> list[Array]:
    """What the agent wrote, in the file's order, dequantised.

    Args:
        artifact: that ran.
        path: of the .npz.
        samples: how many were put in; None: not known.

    Raises:
        AgentError: an output that the artifact names is not there, holds no numbers, or is not of
            so many samples.

    """
    arrays = read_npz(path, None if samples is None else most_bytes(artifact, samples))
    missing = [info.name for info in artifact.outputs if info.name not in arrays]
    if missing:
        raise AgentError(
            f"{artifact.path.name}: the runtime gave no output {missing}, but {list(arrays)}"
        )
    for info in artifact.outputs:
        array = arrays[info.name]
        if not _is_of_kind(array.dtype, info.dtype):
            raise AgentError(
                f"{artifact.path.name}: output '{info.name}' came as {array.dtype},"
                f" not as {info.dtype}"
            )
        if samples is not None and (not array.ndim or len(array) != samples):
            raise AgentError(
                f"{artifact.path.name}: output '{info.name}' came in the shape"
                f" {list(array.shape)} for {samples} samples"
            )
    return [dequantize(arrays[info.name], info) for info in artifact.outputs]


def _is_of_kind(dtype: np.dtype[np.generic], declared: str) -> bool:
    """A number of the declared kind, in any width that torch takes: engines compute in half too."""
    kind = KINDS.get(declared.rstrip("0123456789"), "biuf")
    return dtype.kind in kind and dtype.isnative and dtype.itemsize <= WIDEST_BYTES


def _is_quantized(info: TensorInfo) -> bool:
    return info.scale is not None and _is_of(info.dtype, "iu")


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
