"""A picture, prepared as a file's declaration says: the reference that applications are held to."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgecompress.spec.preprocessing import ImagePreprocessing

Picture = NDArray[np.uint8]
"""[height, width, 3], RGB."""
Prepared = NDArray[np.float32]
"""[1, channels, height, width]."""

# Rec. 601, as Pillow's "L" and OpenCV's grey have it.
_LUMA = (0.299, 0.587, 0.114)


def prepare(picture: Picture, declared: ImagePreprocessing) -> Prepared:
    """The network's input for a picture, float32 [1, channels, height, width]."""
    return normalised(resized(coloured(picture, declared), declared), declared)


def coloured(picture: Picture, declared: ImagePreprocessing) -> Picture:
    """[height, width, channels], in the order of the network's."""
    if declared.colours == "gray":
        luma = np.rint(picture.astype(np.float64) @ np.array(_LUMA))
        grey: Picture = luma.astype(np.uint8)[:, :, None]
        return grey
    return np.ascontiguousarray(picture[:, :, ::-1]) if declared.colours == "bgr" else picture


def resized(picture: Picture, declared: ImagePreprocessing) -> Picture:
    """The picture in the declared size; levels stay whole, as in Pillow and OpenCV."""
    height, width = declared.size
    tall, wide = picture.shape[:2]
    if declared.resize == "stretch":
        return _scaled(picture, (height, width), declared)
    ratios = height / tall, width / wide
    if declared.resize == "letterbox":
        ratio = min(ratios)
        inner = _scaled(picture, _sides(tall, wide, ratio, at_most=declared.size), declared)
        canvas = np.full((height, width, picture.shape[2]), declared.fill, np.uint8)
        top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
        canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return canvas
    ratio = max(ratios) if declared.shorter is None else declared.shorter / min(tall, wide)
    whole = _scaled(picture, _sides(tall, wide, ratio, at_least=declared.size), declared)
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    return np.ascontiguousarray(whole[top : top + height, left : left + width])


def normalised(picture: Picture, declared: ImagePreprocessing) -> Prepared:
    """(level * scale - mean) / std, channels first, with a batch of one."""
    channels = picture.shape[2]
    mean = np.array(declared.mean if declared.mean else [0.0] * channels)
    std = np.array(declared.std if declared.std else [1.0] * channels)
    values = (picture.astype(np.float64) * declared.scale - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]).astype(np.float32)


def _sides(
    tall: int,
    wide: int,
    ratio: float,
    at_most: tuple[int, int] | None = None,
    at_least: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Sides of a picture times `ratio`, which rounding takes over no border."""
    sides = [
        max(round(side * ratio), least) for side, least in zip((tall, wide), at_least, strict=True)
    ]
    if at_most is not None:
        sides = [min(side, most) for side, most in zip(sides, at_most, strict=True)]
    return sides[0], sides[1]


def _scaled(picture: Picture, size: tuple[int, int], declared: ImagePreprocessing) -> Picture:
    if picture.shape[:2] == size:
        return picture
    levels = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32))
    if declared.interpolation == "nearest":
        scaled: Tensor = functional.interpolate(levels, size, mode="nearest-exact")
    else:
        scaled = functional.interpolate(
            levels,
            size,
            mode=declared.interpolation,
            align_corners=False,
            antialias=declared.antialias,
        )
    whole = scaled.round().clamp(0, 255)[0].numpy().astype(np.uint8)
    return np.ascontiguousarray(whole.transpose(1, 2, 0))
