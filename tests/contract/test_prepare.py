"""Pictures as Pillow prepares them, which most training code uses; and what may be declared."""

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow: pip install '.[images]'")

from PIL import Image, ImageOps

from edgecompress.contract.picture import drawn
from edgecompress.contract.prepare import prepare
from edgecompress.errors import SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.preprocessing import ImagePreprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEVEL = 1 / 255
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def channels_first(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64).transpose(2, 0, 1)[None] / 255


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_stretched_picture_is_pillows(size: tuple[int, int], interpolation: str) -> None:
    declared = ImagePreprocessing(size=size, interpolation=interpolation)
    picture = drawn(declared)
    image = Image.fromarray(picture).resize(size[::-1], FILTERS[interpolation])
    gaps = np.abs(prepare(picture, declared) - channels_first(image))
    # Pillow rounds between its two passes, and clips what a cubic puts out there.
    assert gaps.mean() <= 0.3 * LEVEL
    assert gaps.max() <= (1.01 if interpolation == "bilinear" else 10) * LEVEL


def test_the_middle_is_cut_out_as_torchvision_does() -> None:
    declared = ImagePreprocessing(
        size=(24, 24), resize="crop", shorter=32, mean=MEAN, std=STD, colours="rgb"
    )
    picture = drawn(declared)
    tall, wide = picture.shape[:2]
    whole = (round(tall * 32 / min(tall, wide)), round(wide * 32 / min(tall, wide)))
    image = Image.fromarray(picture).resize(whole[::-1], Image.Resampling.BILINEAR)
    top, left = (whole[0] - 24) // 2, (whole[1] - 24) // 2
    cut = channels_first(image.crop((left, top, left + 24, top + 24)))
    wanted = (cut - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    assert np.abs(prepare(picture, declared) - wanted).max() <= 1.01 * LEVEL / min(STD)


def test_a_letterbox_has_its_border_on_both_sides() -> None:
    declared = ImagePreprocessing(size=(40, 40), resize="letterbox", fill=7, colours="bgr")
    picture = drawn(declared)
    inner = ImageOps.contain(Image.fromarray(picture), (40, 40), Image.Resampling.BILINEAR)
    canvas = np.full((1, 3, 40, 40), 7 / 255)
    top = (40 - inner.height) // 2
    canvas[:, :, top : top + inner.height] = channels_first(inner)[:, ::-1]
    assert inner.height < 40
    assert np.abs(prepare(picture, declared) - canvas).max() <= 1.01 * LEVEL


def test_grey_is_pillows() -> None:
    declared = ImagePreprocessing(size=(8, 8), colours="gray")
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float64)[None, None] / 255
    assert np.abs(prepare(picture, declared) - grey).max() <= 1.01 * LEVEL


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"mean": [0.5]}, "mean has 1 numbers, and rgb has 3 channels"),
        ({"resize": "stretch", "shorter": 40}, "shorter is of resize: crop"),
        ({"resize": "crop", "shorter": 16}, "less than the 32 that are cut out"),
        ({"std": [0.1, 0.0, 0.1]}, "greater than 0"),
        ({"scale": 0.0}, "scale: must be"),
        ({"size": [32, 9000]}, "size.1: must be at most"),
        ({"size": [0, 32]}, "must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(more: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(ImagePreprocessing, {"size": [32, 32], **more}, "preprocessing")
