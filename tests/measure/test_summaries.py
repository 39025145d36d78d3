"""Turns of a tool that keeps its samples to itself: what may be said of them, and what may not."""

import pytest
from turns import FOUR, make_turn

from edgecompress.measure.compare import speedup_of, summarise
from edgecompress.spec.measurement import LatencySummary, Turn


def turn(mean: float, largest: float, p50: float | None, p95: float | None) -> Turn:
    summary = LatencySummary(
        count=50,
        latency_ms_mean=mean,
        latency_ms_min=1.0,
        latency_ms_max=largest,
        latency_ms_std=None,
        latency_ms_p5=None,
        latency_ms_p50=p50,
        latency_ms_p95=p95,
    )
    return make_turn([]).model_copy(update={"summary": summary})


def test_p90_and_p99_are_upper_bounds():
    turns = [turn(4.0, 20.0, 3.0, 7.0), turn(4.5, 9.0, 3.2, 8.0), turn(4.2, 11.0, 3.1, 6.0)]
    found = summarise(turns, FOUR)
    assert (found.latency_ms_p50, found.latency_ms_p90, found.latency_ms_p99) == (3.1, 8.0, 20.0)
    assert not found.has_samples
    assert [note for note in found.notes if note.startswith("the tool prints no samples")]


def test_without_percentiles_the_bounds_are_the_largest_and_it_is_said():
    found = summarise([turn(4.0, 20.0, None, None), turn(6.0, 9.0, None, None)], FOUR)
    assert (found.latency_ms_p50, found.latency_ms_p90, found.latency_ms_p99) == (5.0, 20.0, 20.0)
    assert [note for note in found.notes if "neither samples nor percentiles" in note]


def test_samples_need_no_such_note():
    found = summarise([make_turn([1.0, 1.01, 1.02])], FOUR)
    assert found.has_samples
    assert found.notes == ()


def test_interval_of_the_speedup_is_that_of_the_turns():
    fast = summarise([turn(1.0, 2.0, p50, 1.5) for p50 in (1.0, 1.1, 0.9)], FOUR)
    slow = summarise([turn(2.0, 3.0, p50, 2.5) for p50 in (2.0, 2.2, 2.1)], FOUR)
    _, low, high = speedup_of(slow, fast, FOUR.protocol)
    assert 1.3 < low < 2.0 < 2.2 < high < 3.2
    assert speedup_of(slow, slow, FOUR.protocol) == pytest.approx((1.0, 1.0, 1.0))
