"""Inputs as people can see them, in little space."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.tensors import Array
from edgecompress.spec.looks import InputKind, Shown

MOST_PIXELS = 96
MOST_VALUES = 256
MOST_TOKENS = 48


def shown(sample: Array, kind: InputKind) -> Shown:
    """One sample of an input: a picture, a curve, or text."""
    if kind == "image":
        png = base64.b64encode(png_of(_pixels(sample))).decode("ascii")
        return Shown(kind=kind, png_base64=png)
    if kind == "tokens":
        numbers = [str(int(number)) for number in sample.reshape(-1)]
        more = f" .. ({len(numbers)})" if len(numbers) > MOST_TOKENS else ""
        return Shown(kind=kind, text=" ".join(numbers[:MOST_TOKENS]) + more)
    values = sample.reshape(-1, sample.shape[-1]).mean(axis=0, dtype=np.float64)
    step = -(-len(values) // MOST_VALUES)
    return Shown(kind=kind, curve=tuple(float(f"{value:.4g}") for value in values[::step]))


def _pixels(sample: Array) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] of a [C, H, W] in any range: from its least to its greatest value."""
    channels = sample if sample.shape[0] == 3 else sample.mean(axis=0, keepdims=True)
    step = -(-max(sample.shape[1:]) // MOST_PIXELS)
    image = channels[:, ::step, ::step].astype(np.float64)
    image = np.nan_to_num(image, posinf=0.0, neginf=0.0)
    low, high = image.min(), image.max()
    scaled = (image - low) / (high - low if high > low else 1.0) * 255
    pixels: NDArray[np.uint8] = scaled.round().astype(np.uint8).transpose(1, 2, 0)
    return np.asarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of [H, W] grey or [H, W, 3] RGB (ISO/IEC 15948): no filter, one block."""
    height, width = pixels.shape[:2]
    colour = 0 if pixels.ndim == 2 else 2
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    )
