"""What befalls a process makes its turn invalid, or is said, with the right reason."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from turns import FOUR, conditions, make_turn

from edgecompress.measure.limits import BY_LATENCIES, LIMITS
from edgecompress.measure.validity import Rules, turn_fault, validity_of
from edgecompress.spec.measurement import TelemetrySample
from edgecompress.spec.protocol import Paced, Standard, Sustained, Throughput
from edgecompress.spec.validity import FindingKind

STEADY = [1.0] * 300
STANDARD = Rules(Standard(turns=1, min_duration_s=0.3, min_iterations=200), 4)


def turn(samples=STEADY, **fields):
    """One second on a quiet machine, but for what is given of its conditions."""
    return make_turn(samples, running=conditions(**fields))


def judged(*turns, rules=STANDARD):
    """Kinds of the reasons, and of the flags."""
    found = validity_of(turns, rules)
    assert found.valid == (not found.reasons)
    return [each.kind for each in found.reasons], [each.kind for each in found.flags]


def test_a_quiet_machine_is_valid():
    assert judged(turn()) == ([], [])
    assert turn_fault(turn(), STANDARD) is None


@pytest.mark.parametrize(
    ("said", "decides", "fields"),
    [
        (["idle"], ["stopped"], {"stops": 1, "cpu_s": 0.95}),
        ([], ["stopped", "idle"], {"stops": 2, "cpu_s": 0.5}),
        ([], ["suspended"], {"suspended_s": 30.0}),
        (["suspended"], [], {"suspended_s": 0.2}),
        ([], ["idle"], {"cpu_s": 0.7}),
        (["idle"], [], {"cpu_s": 0.95}),
        ([], ["waiting"], {"waited_s": 0.5, "cpu_s": 0.5, "others_s": 0.19}),
        ([], ["waiting"], {"waited_s": 0.5, "cpu_s": 0.5, "others_s": None}),
        (["waiting"], [], {"waited_s": 0.03, "cpu_s": 0.97, "others_s": 0.03}),
        # Nobody else used the core: threads of its own waited for one another.
        ([], [], {"waited_s": 0.35, "cpu_s": 0.99, "others_s": 0.0}),
        ([], ["stolen"], {"stolen_s": 0.3, "cpu_s": 0.7}),
        (["stolen"], [], {"stolen_s": 0.05}),
        # One tick is as good as none.
        ([], [], {"stolen_s": 0.01}),
        ([], ["other_load"], {"others_s": 2.0}),
        (["other_load"], [], {"others_s": 0.5}),
        ([], ["quota"], {"quota_cores": 0.5, "quota_s": 0.4, "cpu_s": 0.6}),
        (["quota"], [], {"quota_cores": 0.5, "quota_s": 0.005}),
        ([], ["clock"], {"clock_mhz_first": 2400.0, "clock_mhz_last": 1500.0}),
        (["clock"], [], {"clock_mhz_first": 2400.0, "clock_mhz_last": 2200.0}),
        (["processor"], [], {"spin_us_first": 80.0, "spin_us_last": 140.0}),
        ([], [], {"spin_us_first": 80.0, "spin_us_last": 85.0}),
        ([], ["page_faults"], {"major_faults": 40}),
        (["page_faults"], [], {"major_faults": 3}),
        (["swapping"], [], {"swapped_pages": 12}),
        ([], ["throttled"], {"throttles": 2}),
        ([], [], {"throttles": 0}),
    ],
)
def test_each_kind_has_its_reason(said, decides, fields):
    assert judged(turn(**fields)) == (decides, said)
    fault = turn_fault(turn(**fields), STANDARD)
    assert (None if fault is None else fault.kind) == (decides[0] if decides else None)


def beside(samples=STEADY, **fields):
    """The same turn of a file that ran side by side with another."""
    return turn(samples, **fields).model_copy(update={"bursts_ms": (1.0, 1.0)})


@pytest.mark.parametrize(
    ("kind", "turns", "update"),
    [
        ("drift", 1, {"latency_ms": (1.0,) * 100 + (1.5,) * 100 + (2.0,) * 100}),
        ("turns_differ", 3, {}),
        ("warmup", 1, {"warmup_spread": 0.4}),
    ],
)
def test_what_files_side_by_side_have_in_common_leaves_their_ratio_valid(kind, turns, update):
    """It is said, and the milliseconds are held against no budget."""
    levels = [1.0, 1.6, 1.0] if turns > 1 else [1.0]
    alone = [turn([level] * 300).model_copy(update=update) for level in levels]
    rules = STANDARD._replace(protocol=STANDARD.protocol.model_copy(update={"turns": turns}))
    found = validity_of(alone, rules)
    assert (found.valid, found.unsteady) == (False, None)
    assert kind in [reason.kind for reason in found.reasons]
    together = [each.model_copy(update={"bursts_ms": (1.0, 1.0)}) for each in alone]
    found = validity_of(together, rules)
    assert found.valid
    assert found.unsteady is not None
    assert found.unsteady.kind == kind
    assert found.unsteady in found.flags
    assert all(turn_fault(each, rules) is None for each in together)
    assert not validity_of([*together[:-1], alone[-1]], rules).valid, "one ran alone"


@pytest.mark.parametrize(
    "fields",
    [
        {"stops": 1},
        {"waited_s": 0.5, "cpu_s": 0.5, "others_s": 0.5},
        {"others_s": 2.0},
        {"throttles": 2},
    ],
)
def test_what_befalls_one_of_them_is_no_common_thing(fields):
    assert not validity_of([beside(**fields)], STANDARD).valid
    assert validity_of([beside()], STANDARD) == validity_of([turn()], STANDARD)


def test_where_the_kernel_counts_no_waits_what_others_use_tells():
    """Three others on four cores leave one; four do not."""
    assert judged(turn(waited_s=None, others_s=0.9)) == ([], ["other_load"])
    reasons, _ = judged(turn(waited_s=None, others_s=3.9))
    assert reasons == ["waiting", "other_load"]
    assert judged(turn(waited_s=None, others_s=None)) == ([], [])


def test_several_threads_may_wait_for_one_another():
    sleepy = turn(cpu_s=0.5).model_copy(update={"threads": 2})
    assert judged(sleepy) == ([], [])


def test_fewer_cores_than_threads_are_said():
    capped = turn().model_copy(update={"threads": 1, "threads_wanted": 4})
    assert judged(capped) == ([], ["fewer_cores"])
    (flag,) = validity_of([capped], STANDARD).flags
    assert flag.text.startswith("only 1 of the 4 threads asked for were used")


def test_a_cold_page_cache_is_said():
    loading = conditions(read_bytes=12 << 20, major_faults=90)
    cold = turn().model_copy(update={"loading": loading})
    assert judged(cold) == ([], ["cold_cache"])
    (flag,) = validity_of([cold], STANDARD).flags
    assert "12.0 MiB" in flag.text


def test_the_clock_between_the_ends_counts():
    def reading(mhz):
        return TelemetrySample(
            at_s=0.5, temperature_c=None, clock_mhz=mhz, throttled=None, power_mw=None
        )

    dipped = turn().model_copy(update={"telemetry": (reading(1800.0), reading(600.0))})
    assert judged(dipped) == (["clock"], [])
    # From turn to turn: each had one clock.
    slower = turn(clock_mhz_first=1000.0, clock_mhz_last=1000.0)
    assert judged(turn(), slower)[0] == ["clock"]
    assert turn_fault(slower, STANDARD) is None


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("0x0", ([], [])),
        ("none", ([], [])),
        ("0x50000", ([], ["throttled"])),
        ("light", ([], ["throttled"])),
        ("0x4", (["throttled"], [])),
        ("severe", (["throttled"], [])),
    ],
)
def test_the_board_s_own_word(word, found):
    assert judged(make_turn(STEADY, throttled=word, running=conditions())) == found


def test_minima():
    rules = Rules(Standard(turns=2, min_duration_s=2.0, min_iterations=1000), 4)
    assert judged(turn(wall_s=2.0), rules=rules) == (["count", "turns"], [])
    enough = turn(wall_s=1.0).model_copy(update={"iterations": 1000})
    assert judged(enough, enough, rules=rules) == (["duration"], [])


def test_no_steady_state():
    def warmed(spread):
        return turn().model_copy(update={"warmup_spread": spread})

    assert judged(warmed(0.3)) == (["warmup"], [])
    assert judged(warmed(0.1)) == ([], ["warmup"])
    assert judged(warmed(0.04)) == ([], [])
    assert judged(warmed(None)) == ([], [])


def test_latencies_alone_put_no_turn_away():
    samples = [1.0] * 100 + [1.2] * 100 + [2.0] * 100
    assert turn_fault(turn(samples), STANDARD) is None
    assert judged(turn(samples))[0] == ["drift"]
    assert set(get_args(FindingKind)) > BY_LATENCIES


def test_turns_of_unlike_speed():
    apart = [turn([ms] * 300) for ms in (1.0, 1.6, 1.0, 1.6, 1.0)]
    assert judged(*apart) == (["turns_differ"], [])


def test_far_out_samples_are_counted_and_kept():
    spiky = turn([9.0 if at % 10 == 0 else 1.0 for at in range(300)])
    assert judged(spiky) == ([], ["outliers"])


def test_what_a_protocol_looks_for_makes_nothing_invalid():
    hot = make_turn(
        [1.0] * 100 + [2.0] * 200,
        throttled="0x4",
        running=conditions(200.0, clock_mhz_last=900.0),
        iterations=300_000,
    )
    assert set(judged(hot)[0]) == {"throttled", "clock", "drift"}
    sustained = Rules(Sustained(turns=1), 4)
    assert judged(hot, rules=sustained) == ([], ["throttled", "clock", "drift"])
    # A stopped process is no heat.
    stopped = hot.model_copy(update={"running": conditions(200.0, stops=1)})
    assert judged(stopped, rules=sustained)[0] == ["stopped"]


def test_paced_inferences_that_come_late_are_said():
    paced = Rules(Paced(turns=1, min_duration_s=1.0), 4)
    asleep = make_turn(
        STEADY,
        running=conditions(cpu_s=0.3, slept_s=0.7, clock_mhz_last=600.0),
        late=30,
    )
    assert judged(asleep, rules=paced) == ([], ["clock", "late"])
    assert judged(asleep.model_copy(update={"late": 1}), rules=paced) == ([], ["clock"])


def test_sessions_side_by_side_wait_for_a_core_too():
    crowded = turn(waited_s=0.4, others_s=0.4).model_copy(update={"streams": 4})
    assert judged(crowded, rules=Rules(Throughput(turns=1, min_duration_s=0.3), 4))[0] == [
        "waiting"
    ]


def test_sessions_that_are_more_than_the_cores_wait_for_one_another():
    crowded = turn(waited_s=0.5, cpu_s=4.0).model_copy(update={"streams": 8})
    rules = Rules(Throughput(turns=1, min_duration_s=0.3), 4)
    assert judged(crowded, rules=rules) == ([], [])
    disturbed = turn(waited_s=0.5, cpu_s=3.0, others_s=1.0).model_copy(update={"streams": 8})
    assert judged(disturbed, rules=rules) == (["waiting"], ["other_load"])


def test_every_kind_has_a_limit_and_something_to_do():
    assert set(LIMITS) == set(get_args(FindingKind))
    for limit in LIMITS.values():
        assert 0 <= limit.flag <= limit.invalid
        assert limit.remedy


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value):
    """It would be within every limit."""
    with pytest.raises(ValidationError, match="finite number"):
        conditions(waited_s=value)


@given(st.floats(min_value=0.0, max_value=1.0), st.floats(min_value=0.0, max_value=1.0))
def test_more_waiting_is_never_better(one, other):
    def worth(share):
        found = validity_of([turn(waited_s=share, cpu_s=1 - share)], STANDARD)
        return (found.valid, not found.flags)

    less, more = sorted((one, other))
    assert worth(less) >= worth(more)


def test_the_worst_turn_is_named():
    disturbed = [turn(waited_s=waited_s, others_s=waited_s) for waited_s in (0.2, 0.4)]
    found = validity_of([turn(), *disturbed], FOUR)
    (reason,) = (each for each in found.reasons if each.kind == "waiting")
    assert reason.text.startswith("for 40% of the time other programs had the core")
    assert reason.text.endswith("(turn 3 of 3, the worst of 2 such)")
    assert reason.figures[0].at_most == 0.05
