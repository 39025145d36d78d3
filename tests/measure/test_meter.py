"""What tells rounding from damage: energies against the noise of quantising, and sure answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgecompress.measure.meter import LARGEST_DB, Meter
from edgecompress.spec.measurement import Parity

STEP = 0.5
RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((400, 10)).astype("float32")
NOISE = RNG.standard_normal((400, 10)).astype("float32")


def measured(
    expected: np.ndarray, actual: np.ndarray, noise: np.ndarray | None, parts: int = 1
) -> Parity:
    meter = Meter([1e-6], "torch")
    cut = [np.array_split(x, parts) for x in (expected, actual)]
    noises = [None] * parts if noise is None else [[x] for x in np.array_split(noise, parts)]
    for want, have, change in zip(*cut, noises, strict=True):
        meter.add([want], [have], change)
    return meter.result()


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_difference_is_held_against_the_noise(factor: float, parts: int) -> None:
    found = measured(SCORES, SCORES + factor * NOISE, NOISE, parts)
    assert found.error_to_noise == pytest.approx(factor**2, rel=1e-4)
    # Channels borrow from one another, so those of a little more noise have a little more error.
    assert found.worst_error_to_noise == pytest.approx(factor**2, rel=0.02)
    expected = 10 * np.log10((SCORES**2).sum() / ((factor * NOISE) ** 2).sum())
    assert found.sqnr_db == pytest.approx(expected, abs=0.01)


OTHER = np.random.default_rng(1).standard_normal((400, 10)).astype("float32")


@pytest.mark.parametrize("damage", [2.0, 9.0])
def test_damage_that_does_not_depend_on_rounding_counts_whole(damage: float) -> None:
    found = measured(SCORES, SCORES + np.sqrt(damage) * OTHER, NOISE)
    assert found.error_to_noise == pytest.approx(damage, rel=0.1)


def test_another_rounding_of_the_same_network_is_no_damage() -> None:
    """As far from the float model as torch is, and twice as far from torch."""
    fake_quantised, file = SCORES + NOISE, SCORES + OTHER
    found = measured(fake_quantised, file, NOISE)
    distance = ((file - fake_quantised) ** 2).sum() / (NOISE**2).sum()
    assert distance == pytest.approx(2.0, rel=0.1)
    assert found.error_to_noise is not None
    assert found.error_to_noise < 0.2
    # What is added to it is.
    found = measured(fake_quantised, file + 2 * SCORES[::-1], NOISE)
    assert found.error_to_noise == pytest.approx(6.0, rel=0.1)


def test_a_class_that_is_lost_does_not_drown() -> None:
    changed = SCORES.copy()
    changed[:, 3] += 3 * NOISE[:, 3]
    found = measured(SCORES, changed, NOISE)
    assert found.error_to_noise == pytest.approx(9 / 10, rel=0.2)
    assert found.worst_error_to_noise == pytest.approx(9, rel=0.02)


def test_rounding_once_is_allowed_where_nothing_is_quantised() -> None:
    meter = Meter([STEP], "torch")
    meter.add([SCORES], [SCORES + STEP / np.float32(np.sqrt(12))], None)
    assert meter.result().error_to_noise == pytest.approx(1.0, rel=1e-4)


def test_no_difference_at_all() -> None:
    found = measured(SCORES, SCORES, None)
    assert (found.error_to_noise, found.worst_error_to_noise) == (0.0, 0.0)
    assert (found.sqnr_db, found.top1_agreement) == (LARGEST_DB, 1.0)
    nothing = np.zeros_like(SCORES)
    assert measured(nothing, nothing + 1, None).sqnr_db == -LARGEST_DB


def test_only_sure_answers_must_be_the_same() -> None:
    # Leads of 3 and of 5 times the noise, which is 1 for every score.
    expected = np.zeros((100, 2), "float32")
    expected[:50, 0], expected[50:, 0] = 3.0, 5.0
    noise = np.ones_like(expected)
    flipped = expected.copy()
    flipped[:10, 1] = 3.5
    found = measured(expected, flipped, noise)
    assert found.top1_agreement == 0.9
    assert (found.sure_samples, found.sure_agreement) == (50, 1.0)
    flipped[50:60, 1] = 5.5
    found = measured(expected, flipped, noise)
    assert (found.sure_samples, found.sure_agreement) == (50, 0.8)
    assert measured(expected, flipped, 9 * noise).sure_agreement is None


def test_of_classes_the_share_counts_and_no_distance() -> None:
    classes = np.arange(200, dtype="int64")[:, None] * 100
    changed = classes.copy()
    changed[:2] += 1
    noise = np.zeros((200, 1), bool)
    found = measured(classes, changed, noise)
    assert found.error_to_noise == pytest.approx(1.0)
    changed[:4] += 1
    assert measured(classes, changed, noise).error_to_noise == pytest.approx(2.0)
    noise[:2] = True
    assert measured(classes, changed, noise).error_to_noise == pytest.approx(1.0)


def test_channels_that_come_and_go_are_added_up() -> None:
    meter = Meter([None], "torch")
    for length in (3, 5):
        batch = np.ones((2, length, 4), "float32")
        meter.add([batch], [batch * 2], [batch])
    found = meter.result()
    assert found.error_to_noise == pytest.approx(1.0, rel=1e-4)
    assert found.worst_error_to_noise == found.error_to_noise


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.floats(0.01, 100), st.integers(0, 2**31))
def test_how_it_is_cut_and_scaled_changes_nothing(parts: int, factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((3, 40, 5))
    whole = measured(rows[0], rows[0] + rows[1], rows[2])
    same = measured(rows[0] * factor, (rows[0] + rows[1]) * factor, rows[2] * factor, parts)
    assert same.error_to_noise == pytest.approx(whole.error_to_noise, rel=1e-3)
    assert same.sure_samples == whole.sure_samples
    assert same.top1_agreement == whole.top1_agreement


def test_noise_that_was_known_before_counts_by_its_energy() -> None:
    expected, actual = [np.zeros((5, 2, 3))], [np.full((5, 2, 3), 2.0)]
    for scale, known, rounding in ((0.6, 3.0, 9.03), (1.2, 0.5, 0.37), (0.6, 0.0, 0.03)):
        meter = Meter([scale], "here", (known,))
        meter.add(expected, actual)
        assert meter.result().error_to_noise == pytest.approx(4.0 / rounding)
        assert meter.result().noise_rms == (known,)
    with pytest.raises(ValueError, match="zip"):
        Meter([0.6], "here", (1.0, 2.0))


def test_of_many_channels_with_few_values_none_is_lost_by_chance() -> None:
    """16 samples of 1,000 scores, each rounded otherwise; then one class that is lost."""
    rng = np.random.default_rng(0)
    right = rng.standard_normal((16, 1000))
    noise = 0.1 * rng.standard_normal(right.shape)
    other = 0.1 * rng.standard_normal(right.shape)

    def worst(spoiled: NDArray[np.float64]) -> float:
        meter = Meter([None], "torch")
        meter.add([right + noise], [spoiled], [noise])
        found = meter.result().worst_error_to_noise
        assert found is not None
        return found

    file = right + other
    assert worst(file) < 4
    file[:, 17] = 0.0
    assert worst(file) > 20


def test_numbers_that_are_no_scores_have_no_answers() -> None:
    expected = [np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)]
    actual = [np.array([[2.0, 1.0], [3.0, 1.0]], np.float32)]
    for gives_scores, agreement in ((True, 0.5), (False, None)):
        meter = Meter([None], "torch", gives_scores=gives_scores)
        meter.add(expected, actual)
        assert meter.result().top1_agreement == agreement
        assert (meter.result().sure_samples is None) == (not gives_scores)
