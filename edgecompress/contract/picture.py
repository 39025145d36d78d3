"""The picture that applications are tried with, and pictures from files."""

from pathlib import Path
from types import ModuleType

import numpy as np

from edgecompress.contract.prepare import Picture
from edgecompress.errors import RuntimeMissing, SpecError, StorageError
from edgecompress.spec.preprocessing import ImagePreprocessing

_MOST_PIXELS = 1 << 26
_SEED = 20261130


def drawn(declared: ImagePreprocessing) -> Picture:
    """A picture [height, width, 3] that no two ways of preparing make the same of: it is neither
    square nor of the network's size or shape, its channels, corners and sides differ, and it has
    detail as fine as its pixels.
    """
    height, width = declared.size
    tall, wide = 2 * height + 13, 3 * width + 38
    rows, columns = np.mgrid[0:tall, 0:wide]
    slopes = np.stack([columns / wide, rows / tall, 1 - (rows + columns) / (tall + wide)], axis=2)
    waves = np.stack(
        [np.sin(columns / 2.3 + 0.2), np.sin(rows / 1.7 + 1.1), np.sin((rows - columns) / 2.9)],
        axis=2,
    )
    noise = np.random.default_rng(_SEED).uniform(-1, 1, (tall, wide, 3))
    levels = 30 + 170 * slopes + 25 * waves + 25 * noise
    # Corners that are known from one another, and from every other place.
    levels[: tall // 5, : wide // 6] = (250, 20, 40)
    levels[-(tall // 6) :, -(wide // 4) :] = (15, 60, 240)
    picture: Picture = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return picture


def write_png(picture: Picture, path: Path) -> None:
    """Lossless, so that every application reads the same levels.

    Raises:
        StorageError: it cannot be written.
        RuntimeMissing: Pillow is not installed.

    """
    image = _pillow("to write the picture that the application is tried with")
    try:
        image.fromarray(picture).save(path, format="PNG")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None


def read_picture(path: Path) -> Picture:
    """The picture of a file, RGB, upright: [height, width, 3].

    Raises:
        SpecError: the file is missing, is no picture, or is too large.
        RuntimeMissing: Pillow is not installed.

    """
    image = _pillow(f"to read {path}")
    from PIL import ImageOps

    try:
        with image.open(path) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise SpecError(
                    f"{path}: has {opened.width} x {opened.height} pixels; at most"
                    f" {_MOST_PIXELS:,} are read: make it smaller"
                )
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            return np.asarray(upright, dtype=np.uint8)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SpecError(f"{path}: is no picture that can be read: {text}") from None


def _pillow(why: str) -> ModuleType:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise RuntimeMissing(
            f"{why}, Pillow is needed: pip install 'edgecompress[images]'"
        ) from None
    return Image
