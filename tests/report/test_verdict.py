"""Never ship slower or worse: each rule by example, and all of them by properties."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import comparison, model

from edgecompress.report.verdict import judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.measurement import Comparison, Hop, Parity
from edgecompress.spec.report import ModelReport, VerdictResult

BUDGETS = Budgets(max_metric_drop=0.01, min_speedup=1.2)
COMPARED = comparison()
BASELINE = model(COMPARED.baseline, quantized=False)
CANDIDATE = model(COMPARED.candidate, quantized=True)


def way(**hops: Parity) -> tuple[Hop, ...]:
    return tuple(Hop.model_validate({"kind": kind, "parity": p}) for kind, p in hops.items())


def parity(**changes: object) -> Parity:
    agreed = Parity(reference="torch", samples=360, top1_agreement=1.0, max_output_steps=2.0)
    return agreed.model_copy(update=changes)


def with_metric(report: ModelReport, value: float, **changes: object) -> ModelReport:
    metric = report.metric.model_copy(update={"value": value, **changes})
    return report.model_copy(update={"metric": metric})


def verdict(
    budgets: dict[str, Any] | None = None,
    candidate: dict[str, Any] | None = None,
    compared: dict[str, Any] | None = None,
    measured: bool = True,
) -> VerdictResult:
    return judge(
        BUDGETS.model_copy(update=budgets or {}),
        BASELINE,
        CANDIDATE.model_copy(update=candidate or {}),
        COMPARED.model_copy(update=compared or {}) if measured else None,
    )


def failures(result: VerdictResult) -> list[str]:
    return [reason for reason in result.reasons if reason.startswith("fail: ")]


def test_a_better_candidate_ships_and_says_by_how_much() -> None:
    result = verdict()
    assert result.decision == "ship"
    assert all(reason.startswith("pass: ") for reason in result.reasons)
    text = "\n".join(result.reasons)
    assert "accuracy is 0.9694, the baseline's 0.9722: 0.0028 worse; at most 0.0100" in text
    assert f"{COMPARED.speedup:.2f}x as fast as the baseline" in text
    assert "82.3 % less" in text


@pytest.mark.parametrize(
    ("budgets", "candidate", "compared", "words"),
    [
        ({"max_metric_drop": 0.002}, {}, {}, "0.0028 worse; at most 0.0020"),
        ({"min_speedup": 3.0}, {}, {}, "at least 3.00x asked"),
        ({"min_speedup": 1.0}, {}, {"speedup": 0.99}, "0.99x as fast as the baseline"),
        ({}, {}, {"speedup_low": 0.98}, "not shown to be faster: 95 % interval 0.98x"),
        ({}, {"model_size_bytes": BASELINE.model_size_bytes + 1}, {}, "the baseline 544,321"),
        ({}, {"peak_rss_bytes": 11 << 20}, {}, "peak memory is 11.0 MiB, the baseline's 9.0"),
        ({"latency_ms_p50": 0.1}, {}, {}, "latency p50 is 0.53"),
        ({"latency_ms_p90": 0.1}, {}, {}, "latency p90 is 0.5"),
        ({"latency_ms_p99": 0.1}, {}, {}, "latency p99 is 0.5"),
        ({"init_time_ms": 1.0}, {}, {}, "time to load is 6.36 ms; at most 1.00 ms"),
        ({"peak_rss_bytes": 1 << 20}, {}, {}, "peak memory is 5.0 MiB; at most 1.0 MiB"),
        ({"model_size_bytes": 1000}, {}, {}, "file has 96,345 bytes; at most 1,000"),
        (
            {"min_int8_op_fraction": 0.95},
            {"int8_op_fraction": 0.94999},
            {},
            "94.999 % of the MACs; at least 95.000 %",
        ),
        (
            {},
            {"parity": parity(top1_agreement=0.953)},
            {},
            "the file and torch agree on 95.3 % of the answers, within 2 output steps",
        ),
        (
            {},
            {"parity": parity(top1_agreement=None, max_output_steps=34.0)},
            {},
            "the file and torch agree within 34 output steps; at most 16 allowed",
        ),
        (
            {},
            {"hops": way(converted=parity(top1_agreement=0.994), kernels=parity())},
            {},
            "made integer in torch, it and torch agree on 99.4 % of the answers",
        ),
        (
            {},
            {"hops": way(converted=parity(), kernels=parity(top1_agreement=0.98))},
            {},
            "run by the runtime's own kernels, it and torch agree on 98.0 % of the answers",
        ),
    ],
)
def test_each_rule_refuses_alone(
    budgets: dict[str, Any], candidate: dict[str, Any], compared: dict[str, Any], words: str
) -> None:
    result = verdict(budgets, candidate, compared)
    assert result.decision == "refuse"
    (reason,) = failures(result)
    assert words in reason


def test_a_little_more_memory_is_noise() -> None:
    more = {"peak_rss_bytes": (9 << 20) + (1 << 20)}
    assert verdict(candidate=more).decision == "ship"


@pytest.mark.parametrize(
    ("before", "after", "higher", "decision"),
    [
        (0.98, 0.97, True, "ship"),  # 0.010000000000000009 in binary: still one point
        (0.98, 0.9699, True, "refuse"),
        (0.98, 0.99, True, "ship"),
        (2.0, 2.01, False, "ship"),
        (2.0, 2.02, False, "refuse"),
        (2.0, 1.0, False, "ship"),
    ],
)
def test_the_metric_may_be_one_where_lower_is_better(
    before: float, after: float, higher: bool, decision: str
) -> None:
    baseline = with_metric(BASELINE, before, higher_is_better=higher)
    candidate = with_metric(CANDIDATE, after, higher_is_better=higher)
    assert judge(BUDGETS, baseline, candidate, COMPARED).decision == decision


@pytest.mark.parametrize("change", [{"samples": 359}, {"name": "f1"}, {"higher_is_better": False}])
def test_metrics_of_different_things_are_not_compared(change: dict[str, object]) -> None:
    candidate = with_metric(CANDIDATE, 0.99, **change)
    result = judge(BUDGETS, BASELINE, candidate, COMPARED)
    assert result.decision == "refuse"
    assert "cannot be compared" in failures(result)[0]


def test_without_a_device_it_is_unmeasured_at_best() -> None:
    result = verdict({"latency_ms_p90": 5.0}, measured=False)
    assert result.decision == "unmeasured"
    assert "unmeasured: latency p90 is not known (no device); at most 5.00 ms allowed" in (
        result.reasons
    )


@pytest.mark.parametrize(
    ("budgets", "candidate"),
    [
        ({"max_metric_drop": 0.0}, {}),
        ({"model_size_bytes": 1}, {}),
    ],
)
def test_without_a_device_what_can_be_known_still_refuses(
    budgets: dict[str, Any], candidate: dict[str, Any]
) -> None:
    assert verdict(budgets, candidate, measured=False).decision == "refuse"


def test_the_kernels_of_another_machine_do_not_refuse() -> None:
    limits, short = {"min_int8_op_fraction": 0.9}, {"int8_op_fraction": 0.8}
    assert verdict(limits, short).decision == "refuse"
    result = verdict(limits, short, measured=False)
    assert result.decision == "unmeasured"
    assert any("80 % of the MACs" in r or "80.0 % of the MACs" in r for r in result.reasons)


@pytest.mark.parametrize("speedup", [0.1, 100.0])
def test_an_emulator_never_decides_on_speed(speedup: float) -> None:
    result = verdict(
        {"latency_ms_p50": 1e-6, "peak_rss_bytes": 1},
        compared={"emulated": True, "speedup": speedup, "speedup_low": speedup},
    )
    assert result.decision == "unmeasured"
    assert failures(result) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("measured", [True, False])
def test_figures_that_are_not_numbers_are_refused(value: float, measured: bool) -> None:
    candidate = with_metric(CANDIDATE, value)
    result = judge(BUDGETS, BASELINE, candidate, COMPARED if measured else None)
    assert result.decision == "refuse"
    assert failures(result)[0].startswith(f"fail: candidate.metric.value is {value}")
    assert verdict(compared={"speedup_high": value}).decision == "refuse"
    assert verdict({"latency_ms_p50": math.inf}).decision == "refuse"


def test_a_raw_sample_that_is_no_number_is_refused() -> None:
    turn = COMPARED.candidate.turns[1].model_copy(update={"latency_ms": (0.5, math.nan)})
    turns = (COMPARED.candidate.turns[0], turn)
    measured = COMPARED.candidate.model_copy(update={"turns": turns})
    result = verdict(compared={"candidate": measured})
    assert result.decision == "refuse"
    assert "comparison.candidate.turns[1].latency_ms[1] is nan" in failures(result)[0]


# Properties. Each figure with how it gets worse: the key, and the direction.

FIGURES = {
    "latency_ms_p50": 1,
    "latency_ms_p90": 1,
    "latency_ms_p99": 1,
    "init_time_ms": 1,
    "peak_rss_bytes": 1,
    "model_size_bytes": 1,
    "int8_op_fraction": -1,
}
COMPARISON_FIGURES = {"speedup": -1, "speedup_low": -1}
positive = st.floats(min_value=0.01, max_value=100)
sizes = st.integers(min_value=1, max_value=50 << 20)
fractions = st.floats(min_value=0, max_value=1)


@st.composite
def budgets(draw: st.DrawFn) -> Budgets:
    return Budgets(
        max_metric_drop=draw(fractions),
        min_speedup=draw(st.floats(min_value=1, max_value=4)),
        **{
            key: draw(st.none() | positive)
            for key in ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "init_time_ms")
        },
        peak_rss_bytes=draw(st.none() | sizes),
        model_size_bytes=draw(st.none() | sizes),
        min_int8_op_fraction=draw(st.none() | fractions),
    )


@st.composite
def models(draw: st.DrawFn, higher_is_better: bool) -> ModelReport:
    times = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "init_time_ms")
    changed = CANDIDATE.model_copy(
        update={
            **{key: draw(positive) for key in times},
            "peak_rss_bytes": draw(sizes),
            "model_size_bytes": draw(sizes),
            "int8_op_fraction": draw(fractions),
        }
    )
    return with_metric(changed, draw(fractions), higher_is_better=higher_is_better)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    return SMALL.model_copy(
        update={
            "emulated": draw(st.booleans()),
            "speedup": draw(positive),
            "speedup_low": draw(positive),
        }
    )


def small() -> Comparison:
    """Few samples, so that judging a thousand of them takes no time."""
    turn = COMPARED.baseline.turns[0].model_copy(update={"latency_ms": (1.0,)})
    measured = COMPARED.baseline.model_copy(update={"turns": (turn,)})
    return COMPARED.model_copy(update={"baseline": measured, "candidate": measured})


SMALL = small()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Budgets, ModelReport, ModelReport, Comparison | None]:
    higher = draw(st.booleans())
    # Often lenient and good, or else next to nothing would ever ship.
    if draw(st.booleans()):
        limits = Budgets(max_metric_drop=1.0)
        baseline = with_metric(BASELINE, 0.5, higher_is_better=higher)
        candidate = with_metric(CANDIDATE, draw(fractions), higher_is_better=higher)
        return limits, baseline, candidate, draw(st.none() | comparisons())
    limits, baseline = draw(budgets()), draw(models(higher_is_better=higher))
    return limits, baseline, draw(models(higher_is_better=higher)), draw(st.none() | comparisons())


@settings(max_examples=300, deadline=None)
@given(case=cases(), amount=st.floats(min_value=0, max_value=10), data=st.data())
def test_worse_never_turns_anything_into_ship(
    case: tuple[Budgets, ModelReport, ModelReport, Comparison | None],
    amount: float,
    data: st.DataObject,
) -> None:
    limits, baseline, candidate, compared = case
    before = judge(limits, baseline, candidate, compared)
    key = data.draw(st.sampled_from([*FIGURES, *COMPARISON_FIGURES, "metric"]))
    if key == "metric":
        sign = -1 if candidate.metric.higher_is_better else 1
        candidate = with_metric(candidate, candidate.metric.value + sign * amount)
    elif key in FIGURES:
        value = getattr(candidate, key)
        worse = type(value)(value + FIGURES[key] * amount * abs(value))
        candidate = candidate.model_copy(update={key: worse})
    elif compared is not None:
        worse = getattr(compared, key) * (1 - min(amount, 1))
        compared = compared.model_copy(update={key: worse})
    after = judge(limits, baseline, candidate, compared)
    order = {"refuse": 0, "unmeasured": 1, "ship": 2}
    assert order[after.decision] <= order[before.decision]


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_ship_means_that_every_budget_holds(
    case: tuple[Budgets, ModelReport, ModelReport, Comparison | None],
) -> None:
    limits, baseline, candidate, compared = case
    if judge(limits, baseline, candidate, compared).decision != "ship":
        return
    assert compared is not None
    assert not compared.emulated
    assert compared.speedup >= limits.min_speedup
    assert compared.speedup_low >= 1.0
    drop = baseline.metric.value - candidate.metric.value
    if not candidate.metric.higher_is_better:
        drop = -drop
    assert drop <= limits.max_metric_drop + 1e-6
    assert candidate.model_size_bytes <= baseline.model_size_bytes
    for key in FIGURES:
        if key == "int8_op_fraction":
            assert candidate.int8_op_fraction >= (limits.min_int8_op_fraction or 0)
        elif getattr(limits, key) is not None:
            assert getattr(candidate, key) <= getattr(limits, key)


def test_the_cases_above_do_ship_at_times() -> None:
    shipping = Budgets(max_metric_drop=1.0)
    assert judge(shipping, BASELINE, CANDIDATE, SMALL).decision == "ship"


def test_a_broken_rule_of_the_runtime_refuses() -> None:
    broken = CANDIDATE.inspection.model_copy(update={"violations": ("zero points: conv1 has 3",)})
    (reason,) = failures(verdict(candidate={"inspection": broken}))
    assert reason.endswith("will not take it: zero points: conv1 has 3")


def test_what_is_built_on_the_device_has_no_size_here() -> None:
    larger = CANDIDATE.model_copy(update={"model_size_bytes": BASELINE.model_size_bytes + 1})
    budgets = Budgets(max_metric_drop=0.01)
    refused = judge(budgets, BASELINE, larger, None)
    assert refused.decision == "refuse"
    assert judge(budgets, BASELINE, larger, None, builds_engine=True).decision == "unmeasured"
