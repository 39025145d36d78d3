"""Never ship slower or worse: each rule by example; in general, test_verdict_properties."""

import math
from typing import Any

import pytest
from judging import BASELINE, CANDIDATE, COMPARED, with_metric

from edgecompress.report.advice import Seen
from edgecompress.report.verdict import Judgement, judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.measurement import Hop, Parity

BUDGETS = Budgets(max_metric_drop=0.01, min_speedup=1.2)


def way(**hops: Parity) -> tuple[Hop, ...]:
    return tuple(Hop.model_validate({"kind": kind, "parity": p}) for kind, p in hops.items())


def parity(**changes: object) -> Parity:
    agreed = Parity(reference="torch", samples=360, top1_agreement=1.0, max_output_steps=2.0)
    return agreed.model_copy(update=changes)


QUIET = {"error_to_noise": 1.0, "worst_error_to_noise": 4.0}
"""Just what is still rounding."""


def verdict(
    budgets: dict[str, Any] | None = None,
    candidate: dict[str, Any] | None = None,
    compared: dict[str, Any] | None = None,
    measured: bool = True,
) -> Judgement:
    return judge(
        BUDGETS.model_copy(update=budgets or {}),
        BASELINE,
        CANDIDATE.model_copy(update=candidate or {}),
        COMPARED.model_copy(update=compared or {}) if measured else None,
    )


def failures(result: Judgement) -> list[str]:
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
            "the shipped file does not answer as the trained model does (343 of 360)",
        ),
        (
            {},
            {"parity": parity(top1_agreement=None, max_output_steps=34.0)},
            {},
            "the shipped file does not compute as the trained model does (outputs within 34 steps);"
            " at most 16 allowed",
        ),
        (
            {},
            {"parity": parity(error_to_noise=1.01, worst_error_to_noise=1.0)},
            {},
            "they differ by 1.01 times what quantising changes; at most 1 times is rounding",
        ),
        (
            {},
            {"parity": parity(error_to_noise=0.5, worst_error_to_noise=4.01)},
            {},
            "in one output they differ by 4.01 times what quantising changes; at most 4 times",
        ),
        (
            {},
            {"parity": parity(**QUIET, sure_samples=300, sure_agreement=0.9899)},
            {},
            "of the 300 answers that what quantising changes cannot flip 98.99 % are the same;"
            " at least 99.00 % asked",
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


@pytest.mark.parametrize(
    "whole",
    [
        # Small margins flip, and a step here and there is what rounding looks like.
        {"top1_agreement": 0.9, "sure_samples": 300, "sure_agreement": 0.99, **QUIET},
        {"top1_agreement": None, "max_output_steps": 40.0, **QUIET},
        {"top1_agreement": 0.99},
        {"top1_agreement": None, "max_output_steps": 16.0},
    ],
)
def test_rounding_is_no_damage(whole: dict[str, Any]) -> None:
    assert verdict(candidate={"parity": parity(**whole)}).decision == "ship"


def test_a_hop_explains_and_fails_only_where_what_ships_suffers() -> None:
    bad = parity(top1_agreement=0.9, error_to_noise=7.0, worst_error_to_noise=7.0)
    hops = way(converted=parity(**QUIET), exported=bad, kernels=bad)
    whole = {"parity": parity(**QUIET), "hops": hops}
    result = verdict(candidate=whole)
    assert result.decision == "ship"
    text = "the file as it was written agree on 90.0 % of the answers, within 2 output steps"
    assert sum(text in reason for reason in result.reasons) == 1
    assert sum("what ships does not suffer" in reason for reason in result.reasons) == 2
    result = verdict(candidate={**whole, "parity": bad})
    assert result.decision == "refuse"
    first, *others = failures(result)
    assert first.startswith("fail: the shipped file does not answer as the trained model does")
    assert [text in reason for reason in others] == [True, False]


def test_the_original_is_checked_as_well_and_told_of() -> None:
    bad = parity(error_to_noise=1.5, worst_error_to_noise=1.5)
    original = parity(reference="the original, in float", top1_agreement=0.83)
    candidate = CANDIDATE.model_copy(update={"original": original})
    result = judge(BUDGETS, BASELINE, candidate, COMPARED)
    text = "pass: the shipped file beside the original: the same answer in 299 of 360"
    assert any(text in reason for reason in result.reasons)
    baseline = BASELINE.model_copy(update={"parity": bad})
    (reason,) = failures(judge(BUDGETS, baseline, candidate, COMPARED))
    assert reason.startswith("fail: the original's file does not answer as the original does")


def test_the_metric_decides_before_all_agreement() -> None:
    bad = {"parity": parity(error_to_noise=7.0, worst_error_to_noise=7.0)}
    first, second = failures(verdict({"max_metric_drop": 0.0}, bad))
    assert "accuracy is" in first
    assert "times what quantising changes" in second


@pytest.mark.parametrize("key", ["error_to_noise", "worst_error_to_noise", "sure_agreement"])
def test_agreement_that_is_no_number_is_refused(key: str) -> None:
    whole = parity(**{**QUIET, "sure_samples": 1, "sure_agreement": 1.0, key: math.nan})
    assert verdict(candidate={"parity": whole}).decision == "refuse"


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


def test_a_broken_rule_of_the_runtime_refuses() -> None:
    broken = CANDIDATE.inspection.model_copy(update={"violations": ("zero points: conv1 has 3",)})
    (reason,) = failures(verdict(candidate={"inspection": broken}))
    assert reason.endswith("will not take it: zero points: conv1 has 3")


def test_what_is_built_on_the_device_has_no_size_here() -> None:
    larger = CANDIDATE.model_copy(update={"model_size_bytes": BASELINE.model_size_bytes + 1})
    budgets = Budgets(max_metric_drop=0.01)
    refused = judge(budgets, BASELINE, larger, None)
    assert refused.decision == "refuse"
    assert judge(budgets, BASELINE, larger, None, Seen(builds_engine=True)).decision == "unmeasured"
