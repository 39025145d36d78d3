"""Files that take the levels of pixels as they are, uint8, and normalise them inside."""

from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from edgecompress.spec.preprocessing import AnyPreprocessing, ImagePreprocessing

Floats = NDArray[np.float32]

_LEVELS = np.arange(256)
_ROUNDED = 4
"""So many units in the last place may what runtimes compute of a level be off, each in its way."""


def takes_levels(
    declared: AnyPreprocessing | None,
) -> TypeGuard[ImagePreprocessing]:
    """Whether a file with this declaration is given levels."""
    return isinstance(declared, ImagePreprocessing) and declared.normalised_in == "file"


def kept_out(declared: ImagePreprocessing, because: str) -> ImagePreprocessing:
    """The declaration of a file that takes floats all the same, and says why."""
    return declared.model_copy(update={"normalised_in": "application", "because": because})


def as_levels(declared: ImagePreprocessing) -> ImagePreprocessing:
    """What is left to do for the application of such a file."""
    update = {"scale": 1.0, "mean": (), "std": (), "normalised_in": "application"}
    return declared.model_copy(update=update)


def levels_of(images: NDArray[Any], declared: ImagePreprocessing) -> NDArray[np.uint8]:
    """The levels that images are of, the nearest where they are of none.

    Args:
        images: [N, channels, height, width], normalised as declared.
        declared: scale, mean and standard deviation.

    """
    mean, std = _by_channel(declared)
    values = (images.astype(np.float64) * std[:, None, None] + mean[:, None, None]) / declared.scale
    levels: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


def factors(declared: ImagePreprocessing) -> tuple[Floats, Floats]:
    """What a level is multiplied by and what is added to it, each [channels]."""
    mean, std = _by_channel(declared)
    return (declared.scale / std).astype(np.float32), (-mean / std).astype(np.float32)


@dataclass(frozen=True)
class Steps:
    """How a file quantises its input, all of it alike."""

    scale: float
    zero_point: int
    dtype: str
    """'uint8' or 'int8'."""


def are_levels(declared: ImagePreprocessing, steps: Steps) -> bool:
    """Whether the integers of the file are the levels themselves, those of int8 less 128."""
    lowest = np.iinfo(steps.dtype).min
    return bool((_integers(_normalised(declared), steps) == _LEVELS + lowest).all())


def apart(declared: ImagePreprocessing, steps: Steps) -> str | None:
    """Why a file that normalises levels might have other integers than one that is given floats;
    None: it has the same, in every runtime. There are 256 levels in each channel, so all are tried.
    """
    multiplied, added = factors(declared)
    inside = (_LEVELS.astype(np.float32) * multiplied[:, None] + added[:, None]).astype(np.float32)
    outside = _normalised(declared)
    differ = _integers(inside, steps) != _integers(outside, steps)
    differ |= _on_border(declared, steps.scale)
    # Beyond the ends all is the last integer.
    limits = np.iinfo(steps.dtype)
    places = outside / np.float32(steps.scale) + steps.zero_point
    differ &= (places > limits.min - 0.51) & (places < limits.max + 0.51)
    if not differ.any():
        return None
    channel, level = (int(at) for at in np.argwhere(differ)[0])
    return (
        f"level {level} of channel {channel} lies on the border between two integers of the"
        " file's input, and could come out as either"
    )


def has_border(declared: ImagePreprocessing, scale: float) -> bool:
    """Whether a level lies on a border between two integers, in steps of that size."""
    return bool(_on_border(declared, scale).any())


def _on_border(declared: ImagePreprocessing, scale: float) -> NDArray[np.bool_]:
    """Which levels could come out as either of two integers: [channels, 256]."""
    values, step = _normalised(declared), np.float32(scale)
    # What is added may be far larger than what comes out, and is rounded as what it is.
    largest = np.maximum(np.abs(values), np.abs(factors(declared)[1][:, None])) / step
    near = _ROUNDED * np.finfo(np.float32).eps * largest
    found: NDArray[np.bool_] = np.abs(np.abs(values / step) % 1 - 0.5) <= near
    return found


def _normalised(declared: ImagePreprocessing) -> Floats:
    """Every level, as an application normalises it: [channels, 256]."""
    mean, std = _by_channel(declared)
    values = (_LEVELS * declared.scale - mean[:, None]) / std[:, None]
    return values.astype(np.float32)


def _integers(values: Floats, steps: Steps) -> NDArray[np.int64]:
    limits = np.iinfo(steps.dtype)
    whole = np.rint(values / np.float32(steps.scale)) + steps.zero_point
    integers: NDArray[np.int64] = np.clip(whole, limits.min, limits.max).astype(np.int64)
    return integers


def _by_channel(declared: ImagePreprocessing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = declared.channels
    mean = np.array(declared.mean if declared.mean else (0.0,) * count)
    return mean, np.array(declared.std if declared.std else (1.0,) * count)
