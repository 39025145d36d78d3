"""`.npz` files: arrays by tensor name."""

from __future__ import annotations

import zipfile

import numpy as np

from .failure import Failure
from .files import whole


def read_arrays(path: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        # AttributeError: a lone .npy has no names.
        raise Failure("input", f"{path}: not a readable .npz file: {error}") from None


def read_feeds(path: str, samples: int) -> list[dict[str, np.ndarray]]:
    """The arrays of so many inferences by name; those of several are called '<number>/<name>'."""
    arrays = read_arrays(path)
    if samples == 1:
        return [arrays]
    feeds: list[dict[str, np.ndarray]] = [{} for _ in range(samples)]
    for numbered, array in arrays.items():
        number, _, name = numbered.partition("/")
        if not number.isdecimal() or int(number) >= samples:
            raise Failure("input", f"{path}: '{numbered}' is of none of {samples} samples")
        feeds[int(number)][name] = array
    return feeds


def write_arrays(path: str, arrays: dict[str, np.ndarray]) -> None:
    """Not np.savez: a tensor named 'file' clashes with its own argument."""
    try:
        with whole(path) as part, zipfile.ZipFile(part, "w") as archive:
            for name, array in arrays.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    except OSError as error:
        raise Failure("runtime", f"{path}: cannot be written: {error.strerror}") from None
