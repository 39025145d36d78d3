"""Two files on the same samples: what became of the answers, and what may be said of the metric."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.measure.record import Record, metric_change, read_record, write_record
from edgecompress.spec.accuracy import MetricChange

CLASSES = 10


def classified(labels: np.ndarray, wrong: np.ndarray) -> Record:
    """A file that is wrong on some samples."""
    answers = np.where(wrong, (labels + 1) % CLASSES, labels).astype(np.int32)
    share = float((answers == labels).mean())
    return Record(share, True, len(labels), True, labels=labels.astype(np.int32), answers=answers)


def drawn(
    generator: np.random.Generator, samples: int, shares: tuple[float, float]
) -> MetricChange:
    """A study: a file that is right in 9 of 10, and another that loses and wins some answers."""
    wrong = generator.random(samples) < 0.1
    lost = ~wrong & (generator.random(samples) < shares[0] / 0.9)
    won = wrong & (generator.random(samples) < shares[1] / 0.1)
    change = metric_change(scored(wrong), scored((wrong & ~won) | lost))
    assert change is not None
    return change


def scored(wrong: np.ndarray) -> Record:
    """The same without classes, of which so many samples would take their time."""
    right = (~wrong).astype(np.float64)
    sizes = np.ones(len(wrong), np.int32)
    return Record(float(right.mean()), True, len(wrong), True, scores=right, sizes=sizes)


@pytest.mark.parametrize(
    ("limit", "found"), [(0.0, "lost"), (0.002, "lost"), (0.01, "kept"), (0.02, "kept")]
)
@pytest.mark.parametrize("shares", [(0.005, 0.0), (0.010, 0.005)])
def test_half_a_point_is_told_by_as_many_samples_as_were_asked_for(
    limit: float, found: str, shares: tuple[float, float]
) -> None:
    generator, studies = np.random.default_rng(5), 24
    told, wrong_of_few, uncertain = 0, 0, 0
    for _ in range(studies):
        few = drawn(generator, 500, shares)
        if few.judged(limit) != "cannot tell":
            wrong_of_few += few.judged(limit) != found
            continue
        uncertain += 1
        needed = few.needed(limit)
        if needed is None:
            # None were lost of 500, and none may be.
            uncertain -= limit == 0
            continue
        assert needed > 500
        told += drawn(generator, needed, shares).judged(limit) == found
    assert wrong_of_few <= 0.1 * studies
    if limit <= 0.01:
        assert uncertain >= 0.5 * studies
    assert told >= 0.65 * uncertain


def test_the_answers_are_counted() -> None:
    labels = np.arange(100) % CLASSES
    before, after = np.zeros(100, bool), np.zeros(100, bool)
    before[:3] = True  # three that the second has right
    after[10:15] = True  # five that only the first has
    before[20] = after[20] = True
    first, second = classified(labels, before), classified(labels, after)
    assert second.answers is not None
    second.answers[20] = (labels[20] + 2) % CLASSES
    change = metric_change(first, second, tuple("abcdefghij"))
    assert change is not None
    assert change.method == "answers"
    assert change.drop == pytest.approx(0.02)
    assert change.answers is not None
    counts = change.answers
    assert (counts.changed, counts.right_to_wrong, counts.wrong_to_right) == (9, 5, 3)
    assert counts.p_value == pytest.approx(0.5078125, abs=0.3)
    assert sum(row.samples for row in change.classes) == 100
    worst = change.classes[0]
    assert (worst.recall_before, worst.recall_after) == (1.0, 0.9)
    assert change.classes[0].low < 0.1 < change.classes[0].high


def test_a_forgotten_class_is_the_worst_and_certain() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 540)
    wrong = generator.random(540) < 0.03
    change = metric_change(classified(labels, wrong), classified(labels, wrong | (labels == 7)))
    assert change is not None
    worst = change.classes[0]
    assert (worst.name, worst.recall_after) == ("7", 0.0)
    assert worst.low > 0.8
    assert all(row.low <= 0 <= row.high for row in change.classes[1:])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_larger_budget_is_never_harder_to_keep(
    worse: int, better: int, limit: float, more: float
) -> None:
    labels = np.zeros(100, int)
    before, after = np.arange(100) < better, np.arange(100) >= 100 - worse
    change = metric_change(classified(labels, before), classified(labels, after))
    assert change is not None
    order = ("lost", "cannot tell", "kept")
    found = [order.index(change.judged(one)) for one in (limit, limit + more)]
    assert found[0] <= found[1]


def test_the_same_answers_keep_what_so_many_samples_can_show() -> None:
    def same(samples: int) -> MetricChange:
        record = classified(np.zeros(samples, int), np.zeros(samples, bool))
        change = metric_change(record, record)
        assert change is not None
        return change

    assert same(540).judged(0.01) == "kept"
    few = same(100)
    assert few.judged(0.01) == "cannot tell"
    needed = few.needed(0.01)
    assert needed is not None
    assert needed >= math.log(10) / 0.01 - 1
    assert same(needed).judged(0.01) == "kept"
    assert same(10**6).judged(0.0) == "cannot tell"
    assert same(10**6).needed(0.0) is None


def test_a_mean_of_errors_is_bootstrapped_in_pairs() -> None:
    generator = np.random.default_rng(2)
    errors = generator.exponential(1.0, 800)
    # The samples differ by far more than the files.
    later = errors + generator.normal(0.01, 0.02, 800)
    sizes = np.ones(800, np.int32)
    before, after = (
        Record(float(one.mean()), False, 800, False, scores=one, sizes=sizes)
        for one in (errors, later)
    )
    change = metric_change(before, after)
    assert change is not None
    assert change.method == "bootstrap"
    assert change.low is not None
    assert change.high is not None
    assert 0.007 < change.low < change.drop < change.high < 0.013
    back = metric_change(after, before)
    assert back is not None
    assert back.high is not None
    assert back.high < 0
    assert back.answers is None


def test_where_nothing_can_be_divided_nothing_is_told() -> None:
    record = Record(1.0, True, 50, False)
    change = metric_change(record, record)
    assert change is not None
    assert (change.method, change.judged(0.5), change.needed(0.5)) == ("none", "cannot tell", None)
    other = Record(1.0, True, 51, False)
    assert metric_change(record, other) is None


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    labels = np.arange(10)
    record = classified(labels, labels > 7)
    found = read_record(write_record(record, tmp_path / "answers.npz"))
    assert (found.value, found.samples, found.higher_is_better) == (0.8, 10, True)
    assert found.scores is None
    assert found.answers is not None
    np.testing.assert_array_equal(found.answers, record.answers)
