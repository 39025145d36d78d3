"""Each means of looking at two files, by arrays; by real files: test_look_files.py."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecompress.measure.confidence import calibration, expected_error
from edgecompress.measure.corruptions import CORRUPTIONS, corrupted
from edgecompress.measure.looks import most_different
from edgecompress.measure.occlusion import agreement, as_map, covers, kind_of, responses
from edgecompress.measure.pictures import png_of, shown
from edgecompress.measure.record import Record
from edgecompress.measure.slices import shifts, slices, traits

FLOAT = np.float32


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((3, 32, 32), FLOAT, "image"),
        ((1, 8, 8), FLOAT, "image"),
        ((6, 128), FLOAT, "series"),
        ((16000,), FLOAT, "series"),
        ((12,), FLOAT, "table"),
        ((128,), np.int64, "tokens"),
        ((3, 32, 32), np.uint8, "image"),
        ((1,), FLOAT, None),
        ((3, 1, 1), FLOAT, None),
        ((4,), np.bool_, None),
    ],
)
def test_an_input_is_known_by_its_shape(
    shape: tuple[int, ...], dtype: type, kind: str | None
) -> None:
    assert kind_of(np.zeros((2, *shape), dtype)) == kind


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 17, 9), FLOAT), ((6, 50), FLOAT), ((12,), FLOAT), ((20,), np.int64)]
)
def test_every_place_is_covered_once_and_every_channel(shape: tuple[int, ...], dtype: type) -> None:
    samples = np.ones((2, *shape), dtype)
    kind = kind_of(samples)
    assert kind is not None
    cover = covers(samples, kind)
    places = cover.shape[0] * cover.shape[1]
    assert (cover.masks[:places].sum(axis=0) == 1).all()
    if len(shape) > 1:
        assert len(cover.masks) == places + shape[0]
        assert (cover.masks[places:].sum(axis=0) == 1).all()
    stack = cover.stack(samples[0], np.zeros_like(samples[0]))
    assert stack.shape == (1 + len(cover.masks), *shape)
    assert stack.dtype == samples.dtype
    np.testing.assert_array_equal(stack[0], samples[0])
    np.testing.assert_array_equal(stack[1:] == 0, cover.masks)


def test_agreement_is_a_rank_correlation() -> None:
    values = np.array([1.0, 4.0, 2.0, 3.0])
    assert agreement(values, values**3) == pytest.approx(1)
    assert agreement(values, -values) == pytest.approx(-1)
    assert agreement(values, np.ones(4)) is None
    # scipy.stats.spearmanr([1, 4, 2, 3], [1, 3, 3, 2]): ties have their mean rank.
    assert agreement(values, np.array([1.0, 3.0, 3.0, 2.0])) == pytest.approx(0.6324555)
    # What hardly responds at all has no order.
    noise = np.array([0.02, 0.01, -0.01, 0.0, 1.0])
    assert agreement(noise, noise[[1, 2, 3, 0, 4]]) == pytest.approx(1)


def test_what_covers_nothing_that_counts_changes_nothing() -> None:
    outputs = np.array([[1.0, 5.0, 0.0], [1.0, 5.0, 0.0], [1.0, 2.0, 0.0]])
    np.testing.assert_allclose(responses(outputs, 1), [0.0, 2.0])
    np.testing.assert_allclose(responses(outputs, None), [0.0, 3.0])
    assert as_map(np.array([1.0, -2.0]), (1, 2)) == ((0.5, -1.0),)
    assert as_map(np.zeros(4), (2, 2)) == ((0.0, 0.0), (0.0, 0.0))


def test_calibration_error_is_the_gap_between_sure_and_right() -> None:
    confidences = np.array([0.9] * 10 + [0.5] * 10)
    right = np.array([True] * 9 + [False] + [True] * 10)
    # The first ten are right as often as they are sure; the others are right in half as many more.
    assert expected_error(confidences, right) == pytest.approx(0.25)
    assert expected_error(np.ones(4), np.ones(4, bool)) == 0.0


def with_confidence(confidences: np.ndarray, wrong: np.ndarray) -> Record:
    labels = np.zeros(len(wrong), np.int32)
    answers = wrong.astype(np.int32)
    share = 1 - float(wrong.mean())
    return Record(share, True, len(wrong), True, labels, answers, confidences.astype(np.float32))


def test_calibration_is_compared_in_pairs() -> None:
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1, 800)
    wrong = generator.random(800) > sure
    before = with_confidence(sure, wrong)
    found = calibration(before, with_confidence(sure * 0.999, wrong))
    assert found is not None
    assert found.low < 0.01
    assert found.wrong_low is not None
    assert found.wrong_low < 0.01
    found = calibration(before, with_confidence(sure**0.1, wrong))
    assert found is not None
    assert found.low > 0.1
    assert found.wrong_low is not None
    assert found.wrong_low > 0.2
    assert calibration(Record(1.0, True, 5, True), before) is None


def test_the_most_different_are_those_that_only_the_original_has_right() -> None:
    outputs = np.zeros((6, 2), np.float32)
    labels = np.zeros(6, np.int32)
    answers = labels.copy()
    answers[4] = 1
    moved = outputs.copy()
    moved[1], moved[4], moved[5] = 3, 1, 2
    before = Record(1.0, True, 6, True, labels, labels, outputs=outputs)
    after = Record(5 / 6, True, 6, True, labels, answers, outputs=moved)
    assert [index for index, _ in most_different(before, after, 3)] == [4, 1, 5]
    assert most_different(before, before, 3) == []


def test_a_loss_in_the_dark_is_found_there() -> None:
    generator = np.random.default_rng(1)
    samples = generator.uniform(0, 1, (600, 1, 8, 8)).astype(np.float32)
    samples *= generator.uniform(0.2, 1, (600, 1, 1, 1)).astype(np.float32)
    found = traits(samples, "image")
    labels = np.zeros(600, np.int32)
    dark = np.argsort(found["dark|bright"])[:40].astype(int)
    answers = labels.copy()
    answers[dark] = 1
    before = Record(1.0, True, 600, True, labels, labels)
    after = Record(560 / 600, True, 600, True, labels, answers)
    rows = {row.name: row for row in slices(before, after, found)}
    assert set(rows) == {"dark", "bright", "low contrast", "high contrast"}
    assert rows["dark"].low > 0.15
    assert rows["bright"].low <= 0 <= rows["bright"].high


@pytest.mark.parametrize(
    ("change", "bias", "clipped"),
    [
        (lambda y: y, 0.0, 0.0),
        (lambda y: y + 0.3, 0.3, None),
        (lambda y: y.clip(-1.2, 1.2), None, 0.2),
    ],
)
def test_outputs_that_are_shifted_or_cut_off(change, bias, clipped) -> None:
    outputs = np.random.default_rng(2).normal(size=(500, 1)).astype(np.float32)
    before = Record(1.0, False, 500, False, outputs=outputs)
    (found,) = shifts(before, Record(1.0, False, 500, False, outputs=change(outputs)))
    if bias is not None:
        assert found.bias == pytest.approx(bias, abs=0.03)
        assert found.low <= found.bias <= found.high
    if clipped is not None:
        assert found.clipped == pytest.approx(clipped, abs=0.05)
    assert shifts(Record(1.0, True, 9, True, np.zeros(9, np.int32), outputs=outputs), before) == ()


def test_whole_numbers_stay_in_their_range() -> None:
    samples = np.random.default_rng(3).integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
    noise = corrupted(samples, "image")["noise"].astype(int)
    assert np.abs(noise - samples).mean() < 60


@pytest.mark.parametrize("kind", ["image", "series", "table"])
def test_a_corruption_changes_values_and_no_shape(kind) -> None:
    shape = {"image": (4, 1, 12, 12), "series": (4, 2, 40), "table": (4, 5)}[kind]
    samples = np.random.default_rng(3).uniform(0, 1, shape).astype(np.float32)
    spoilt = corrupted(samples, kind)
    assert spoilt
    assert set(spoilt) <= set(CORRUPTIONS)
    for array in spoilt.values():
        assert array.shape == samples.shape
        assert array.dtype == samples.dtype
        assert np.abs(array - samples).max() > 0.05
    if kind == "image":
        assert spoilt["blur"].std() < samples.std()
        assert spoilt["dark"].mean() < samples.mean() < spoilt["bright"].mean()


@settings(deadline=None, max_examples=40)
@given(
    arrays.arrays(
        FLOAT,
        st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(4, 200), st.integers(4, 60)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    )
)
def test_any_image_becomes_a_small_png(sample: np.ndarray) -> None:
    picture = shown(sample, "image").png_base64
    assert picture is not None
    data = base64.b64decode(picture)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert max(int.from_bytes(data[at : at + 4]) for at in (16, 20)) <= 96
    assert len(data) <= 96 * 97 * 3 + 200


def test_a_png_holds_its_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = png_of(pixels)
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4])
    rows = zlib.decompress(data[start : start + length])
    assert rows == b"".join(b"\0" + row.tobytes() for row in pixels)


def test_curves_and_tokens_are_short() -> None:
    curve = shown(np.linspace(0, 1, 10_000, dtype=FLOAT), "series").curve
    assert curve is not None
    assert len(curve) <= 256
    text = shown(np.arange(500), "tokens").text
    assert text is not None
    assert text.startswith("0 1 2")
    assert len(text) < 300
