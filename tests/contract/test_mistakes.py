"""Mistakes that are planted in an application, written with Pillow and numpy, are named."""

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow: pip install '.[images]'")

from PIL import Image, ImageOps

from edgecompress.contract.mistakes import departure
from edgecompress.contract.picture import drawn
from edgecompress.contract.prepare import Picture, prepare
from edgecompress.spec.preprocessing import ImagePreprocessing

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
STRETCHED = ImagePreprocessing(size=(32, 48), mean=tuple(MEAN), std=tuple(STD))
BOXED = ImagePreprocessing(size=(50, 50), resize="letterbox")
SMALL = Image.Resampling.BILINEAR


def levels(picture: Picture, how: Image.Resampling = SMALL) -> np.ndarray:
    """[height, width, 3], stretched."""
    return np.asarray(Image.fromarray(picture).resize((48, 32), how), np.float64)


def first(values: np.ndarray) -> np.ndarray:
    return values.transpose(2, 0, 1)[None]


def right(picture: Picture) -> np.ndarray:
    return first((levels(picture) / 255 - MEAN) / STD)


def cropped(picture: Picture) -> np.ndarray:
    fitted = ImageOps.fit(Image.fromarray(picture), (48, 32), SMALL)
    return first((np.asarray(fitted, np.float64) / 255 - MEAN) / STD)


def sampled(picture: Picture) -> np.ndarray:
    """Nearest, by hand."""
    rows = ((np.arange(32) + 0.5) * picture.shape[0] / 32).astype(int)
    columns = ((np.arange(48) + 0.5) * picture.shape[1] / 48).astype(int)
    return first((picture[rows][:, columns] / 255 - MEAN) / STD)


PLANTED: dict[str, Callable[[Picture], np.ndarray]] = {
    "colours are in the order of bgr": lambda p: first((levels(p)[:, :, ::-1] / 255 - MEAN) / STD),
    "scale: levels are left as they are": lambda p: first(levels(p)),
    "scale: levels are divided by 255 and nothing else": lambda p: first(levels(p) / 255),
    "scale: levels are brought to between -1 and 1": lambda p: first(levels(p) / 127.5 - 1),
    "mean: not subtracted": lambda p: first(levels(p) / 255 / STD),
    "std: not divided by": lambda p: first(levels(p) / 255 - MEAN),
    "resize: the shorter side made to fit": cropped,
    "interpolation: nearest": sampled,
    "interpolation: bicubic with": lambda p: first(
        (levels(p, Image.Resampling.BICUBIC) / 255 - MEAN) / STD
    ),
    "layout: [1, height, width, channels]": lambda p: right(p).transpose(0, 2, 3, 1),
    "taken for [1, channels, height, width] as they lie": lambda p: (
        right(p).transpose(0, 2, 3, 1).copy().reshape(1, 3, 32, 48)
    ),
    "layout: height and width are swapped": lambda p: right(p).transpose(0, 1, 3, 2),
}


def test_an_application_with_another_library_is_right() -> None:
    picture = drawn(STRETCHED)
    found = departure(right(picture), picture, STRETCHED, "nchw")
    assert (found.is_right, found.mistakes) == (True, ())
    last = right(picture).transpose(0, 2, 3, 1)
    assert departure(last, picture, STRETCHED, "nhwc").is_right


@pytest.mark.parametrize("words", PLANTED)
def test_a_planted_mistake_is_named_alone(words: str) -> None:
    picture = drawn(STRETCHED)
    found = departure(PLANTED[words](picture), picture, STRETCHED, "nchw")
    assert not found.is_right
    assert len(found.mistakes) == 1, found.mistakes
    assert words in found.mistakes[0]


def boxed(picture: Picture, fill: int, centering: tuple[float, float]) -> np.ndarray:
    fitted = ImageOps.pad(
        Image.fromarray(picture), (50, 50), SMALL, color=(fill,) * 3, centering=centering
    )
    return first(np.asarray(fitted, np.float64) / 255)


def test_a_letterbox_in_the_corner_or_of_another_colour_is_named() -> None:
    picture = drawn(BOXED)
    assert departure(boxed(picture, 114, (0.5, 0.5)), picture, BOXED, None).is_right
    (corner,) = departure(boxed(picture, 114, (0, 0)), picture, BOXED, None).mistakes
    assert "in the corner" in corner
    (filled,) = departure(boxed(picture, 0, (0.5, 0.5)), picture, BOXED, None).mistakes
    assert "filled with 0, not with 114" in filled
    stretched = first(
        np.asarray(Image.fromarray(picture).resize((50, 50), SMALL), np.float64) / 255
    )
    (rule,) = departure(stretched, picture, BOXED, None).mistakes
    assert "stretched" in rule


def test_two_mistakes_at_once_are_both_named() -> None:
    picture = drawn(STRETCHED)
    given = first(levels(picture)[:, :, ::-1] / 255)
    names = departure(given, picture, STRETCHED, "nchw").mistakes
    assert len(names) == 2
    assert "bgr" in names[0]
    assert "divided by 255 and nothing else" in names[1]


def test_what_no_mistake_explains_is_told_with_its_size() -> None:
    picture = drawn(STRETCHED)
    given = prepare(picture, STRETCHED).astype(np.float64)
    given[0, 1] *= -1.7
    found = departure(given, picture, STRETCHED, "nchw")
    assert (found.is_right, found.mistakes) == (False, ())
    assert "no usual mistake" in found.told
    assert found.levels is not None
    short = departure(given[:, :, :-1], picture, STRETCHED, "nchw")
    assert short.levels is None
    assert "its shape is [1, 3, 31, 48], and the file takes [1, 3, 32, 48]" in short.told
    nothing = departure(np.full_like(given, np.nan), picture, STRETCHED, "nchw")
    assert not nothing.is_right
