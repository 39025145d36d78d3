"""Warm-up until it is steady, every inference, at a pace, and several sessions at once."""

import importlib
import itertools
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def loops(pyz: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(pyz))
    yield importlib.import_module("edgecompress_agent.loops")
    for name in [name for name in sys.modules if name.startswith("edgecompress_agent")]:
        monkeypatch.delitem(sys.modules, name)


class Clock:
    """Time that only goes on when an inference takes some, or somebody sleeps."""

    def __init__(self, loops, monkeypatch):
        self.now_ns = 10**12
        monkeypatch.setattr(loops.time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(loops.time, "perf_counter", lambda: self.now_ns / 1e9)
        monkeypatch.setattr(loops.time, "sleep", lambda s: self.take(1000 * s))

    def take(self, ms):
        self.now_ns += round(ms * 1e6)

    def calls(self, *ms):
        """Inferences that take so long, the last for ever."""
        times = itertools.chain(ms, itertools.repeat(ms[-1]))
        return (lambda each=each: self.take(each) for each in times)


@pytest.fixture
def clock(loops, monkeypatch):
    return Clock(loops, monkeypatch)


def test_no_more_than_asked_for_where_nobody_looks(loops, clock):
    found = loops.warm_up(clock.calls(9.0, 1.0), loops.WarmupLimits(4, 0.0))
    assert (found.latency_ms, found.spread) == ([9.0, 1.0, 1.0, 1.0], None)


def test_three_windows_of_fifty_ms_tell_a_steady_state(loops, clock):
    found = loops.warm_up(clock.calls(10.0), loops.WarmupLimits(2, 3.0))
    assert len(found.latency_ms) == 2 + 3 * 5
    assert found.spread == 0.0


def test_warm_up_goes_on_until_it_is_steady(loops, clock):
    """Ten windows that become faster, and then three that do not."""
    falling = [50.0 * 0.9**at for at in range(10)]
    found = loops.warm_up(clock.calls(*falling, 60.0), loops.WarmupLimits(0, 30.0))
    assert len(found.latency_ms) > 10
    assert found.latency_ms[-3:] == [60.0] * 3
    assert found.spread == 0.0


def test_warm_up_is_given_up_and_says_how_far_apart_it_was(loops, clock):
    found = loops.warm_up(itertools.cycle(list(itertools.islice(clock.calls(60.0, 90.0), 2))),
                          loops.WarmupLimits(0, 1.0))  # fmt: skip
    assert found.spread == pytest.approx(0.5)
    assert 1000 <= sum(found.latency_ms) < 1200


def test_a_window_has_every_sample_as_often_as_any_other(loops, clock):
    """Single windows would be as unlike as a quick sample and a slow one."""
    pair = [lambda: clock.take(1.0), lambda: clock.take(60.0)]
    found = loops.warm_up(itertools.cycle(pair), loops.WarmupLimits(0, 3.0, 2))
    assert (len(found.latency_ms), found.spread) == (6, 0.0)


def test_a_slow_model_is_not_warmed_up_for_ever(loops, clock):
    found = loops.warm_up(clock.calls(20_000.0), loops.WarmupLimits(1, 3.0, 16))
    assert len(found.latency_ms) == 4


def test_both_minima_are_reached(loops, clock):
    by_count = loops.steady(clock.calls(5.0), loops.Limits(100, 0.01))
    assert (by_count.iterations, by_count.latency_ms) == (100, [5.0] * 100)
    by_time = loops.steady(clock.calls(5.0), loops.Limits(1, 1.0))
    assert (by_time.iterations, by_time.elapsed_s) == (200, pytest.approx(1.0))


def test_a_quick_model_keeps_evenly_spaced_samples_and_the_maximum(loops, clock):
    """1,000 inferences of which at most 100 are kept; the slowest is not among those."""
    times = [1.0 + at / 1000 for at in range(1000)]
    times[777] = 50.0
    found = loops.steady(clock.calls(*times), loops.Limits(1000, 0.001, 100))
    assert (found.iterations, found.latency_ms_max) == (1000, 50.0)
    assert 50 <= len(found.latency_ms) <= 100
    steps = [round(ms * 1000) for ms in found.latency_ms]
    assert {after - before for before, after in itertools.pairwise(steps)} == {16}


def test_an_accelerator_is_asked_for_each_sample(loops, clock):
    times = iter(range(100))
    found = loops.steady(clock.calls(2.0), loops.Limits(10, 0.001), None, lambda: next(times))
    assert found.compute_ms == list(range(10))
    assert found.latency_ms == [2.0] * 10


def test_a_pace_is_kept_by_sleeping(loops, clock):
    pace = loops.Pace(33.0)
    found = loops.steady(clock.calls(8.0), loops.Limits(30, 0.001), pace)
    assert found.elapsed_s == pytest.approx(30 * 0.033, rel=0.05)
    assert pace.slept_s == pytest.approx(30 * 0.025, rel=0.1)
    assert pace.late == 0


def test_what_takes_too_long_for_its_pace_is_counted(loops, clock):
    """Two of ten take longer than the interval; the inference after each begins late."""
    pace = loops.Pace(10.0)
    times = [2.0, 2.0, 15.0, 2.0, 2.0, 2.0, 40.0, 2.0, 2.0, 2.0]
    loops.steady(clock.calls(*times), loops.Limits(10, 0.001), pace)
    assert pace.late == 2
    slow = loops.Pace(10.0)
    loops.steady(clock.calls(12.0), loops.Limits(10, 0.001), slow)
    assert (slow.late, slow.slept_s) == (9, pytest.approx(0.01))


def test_sessions_run_at_once_and_share_the_inferences(loops):
    def call():
        time.sleep(0.002)

    sessions = [itertools.repeat(call) for _ in range(4)]
    found = loops.side_by_side(sessions, loops.Limits(100, 0.001))
    assert found.iterations >= 100
    # One after the other they would take 0.2 s at least.
    assert sum(found.latency_ms) / 1000 > 2 * found.elapsed_s


def test_a_session_that_fails_is_told(loops):
    def fails():
        raise ValueError("no memory")

    sessions = [itertools.repeat(lambda: None), itertools.repeat(fails)]
    with pytest.raises(ValueError, match="no memory"):
        loops.side_by_side(sessions, loops.Limits(5, 0.001))
