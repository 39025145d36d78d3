"""What only a device can tell, and what its absence leaves open; the push; each budget's bound."""

from typing import Any

import pytest
from judging import BASELINE, CANDIDATE, COMPARED
from synthetic import pushed

from edgecompress.report.advice import Seen
from edgecompress.report.budgets import over_budget
from edgecompress.report.verdict import MEMORY_MARGIN_BYTES, Judgement, judge
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.figure import Figure
from edgecompress.spec.protocol import Throughput
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import ModelReport
from edgecompress.spec.validity import Finding, Validity

BUDGETS = Budgets(max_metric_drop=0.01, min_speedup=1.2)
LIMITS = {
    "latency_ms_p50": 0.5,
    "latency_ms_p90": 0.5,
    "latency_ms_p99": 0.5,
    "init_time_ms": 5.0,
    "peak_rss_bytes": 5 << 20,
}


def verdict(
    budgets: dict[str, Any] | None = None,
    candidate: dict[str, Any] | None = None,
    compared: Comparison | None = COMPARED,
    baseline: ModelReport = BASELINE,
) -> Judgement:
    limits = BUDGETS.model_copy(update=budgets or {})
    return judge(limits, baseline, CANDIDATE.model_copy(update=candidate or {}), compared)


def push_line(found: Pushed, decision: str) -> str:
    """The one line of a verdict that is about the push."""
    result = judge(BUDGETS, BASELINE, CANDIDATE, COMPARED, Seen(pushed=found))
    assert result.decision == decision
    (line,) = (reason for reason in result.reasons if "synthetic-pi: " in reason)
    return line


def test_a_release_that_is_active_is_told_with_its_metric() -> None:
    validated = pushed("success", name="synthetic-pi")
    assert push_line(validated, "ship") == (
        "pass: synthetic-pi: release 0123456789abcdef is active; accuracy 0.9694 (0.9463 to 0.9828)"
        " on 360 samples there, 0.9722 here"
    )
    assert validated.validation is not None
    for unknown in ({"low": None, "high": None}, {"low": None}, {"high": None}):
        bare = validated.validation.model_copy(update=unknown)
        line = push_line(validated.model_copy(update={"validation": bare}), "ship")
        assert "accuracy 0.9694 on 360 samples" in line


@pytest.mark.parametrize(("refused", "decision"), [(True, "refuse"), (False, "unmeasured")])
def test_a_push_that_failed_refuses_only_where_the_model_did(refused: bool, decision: str) -> None:
    reasons = ("it differs", "it was rolled back")
    changes = {"reasons": reasons, "refused": refused}
    found = pushed("rolled_back", name="synthetic-pi").model_copy(update=changes)
    status = "fail" if refused else "unmeasured"
    assert push_line(found, decision) == f"{status}: synthetic-pi: rolled back: it differs"


@pytest.mark.parametrize("validated", [True, False])
def test_only_a_push_that_was_validated_ships(validated: bool) -> None:
    found = pushed("inconsistent" if validated else "success", name="synthetic-pi")
    changes: dict[str, object] = {"reasons": ()}
    if not validated:
        changes["validation"] = None
    line = push_line(found.model_copy(update=changes), "unmeasured")
    assert line.endswith(f"{found.outcome}: not validated")


@pytest.mark.parametrize("key", list(LIMITS))
def test_a_budget_without_a_figure_is_unmeasured(key: str) -> None:
    result = verdict({key: LIMITS[key]}, {key: None})
    assert result.decision == "unmeasured"
    assert sum("was not measured; at most" in reason for reason in result.reasons) == 1


@pytest.mark.parametrize("key", list(LIMITS))
def test_a_budget_is_kept_up_to_its_bound(key: str) -> None:
    measured = COMPARED.candidate.model_copy(update={key: LIMITS[key]})
    assert over_budget(Budgets.model_validate({**LIMITS, "max_metric_drop": 0.0}), measured)
    limits = Budgets.model_validate({key: LIMITS[key], "max_metric_drop": 0.0})
    assert over_budget(limits, measured) == ()
    more = measured.model_copy(update={key: LIMITS[key] + 1})
    (line,) = over_budget(limits, more)
    assert "at most" in line


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_memory_that_was_not_measured_is_no_pass(side: str) -> None:
    unknown = {"peak_rss_bytes": None}
    baseline = BASELINE.model_copy(update=unknown) if side == "baseline" else BASELINE
    result = verdict(None, unknown if side == "candidate" else None, baseline=baseline)
    assert result.decision == "unmeasured"
    assert "unmeasured: peak memory was not measured" in result.reasons


@pytest.mark.parametrize(
    ("before", "most"),
    [(1 << 20, (1 << 20) + MEMORY_MARGIN_BYTES), (100 << 20, 110 << 20), (-100, 1048476)],
)
def test_memory_may_grow_by_the_larger_of_two_margins(before: int, most: int) -> None:
    baseline = BASELINE.model_copy(update={"peak_rss_bytes": before})
    for after, decision in ((most, "ship"), (most + 1, "refuse")):
        result = verdict(None, {"peak_rss_bytes": after}, baseline=baseline)
        assert result.decision == decision


def test_less_and_more_are_told_apart_from_equal() -> None:
    def size(before: int, after: int) -> str:
        baseline = BASELINE.model_copy(update={"model_size_bytes": before})
        result = verdict(None, {"model_size_bytes": after}, baseline=baseline)
        (line,) = (reason for reason in result.reasons if "file has" in reason)
        return line.rpartition(": ")[2]

    assert [size(200, 100), size(200, 300), size(200, 200)] == [
        "50.0 % less",
        "50.0 % more",
        "equal",
    ]
    assert size(0, 3) == "more"
    assert size(1, 0) == "100.0 % less"


def test_int8_kernels_that_are_enough_here_are_no_question() -> None:
    for fraction, decision in ((0.9, "pass"), (0.95, "pass"), (0.8999, "unmeasured")):
        result = verdict({"min_int8_op_fraction": 0.9}, {"int8_op_fraction": fraction}, None)
        (line,) = (reason for reason in result.reasons if "of the MACs" in reason)
        assert line.startswith(f"{decision}: ")
    assert verdict({"min_int8_op_fraction": 0.9}, {"int8_op_fraction": 0.9}).decision == "ship"


@pytest.mark.parametrize(
    ("low", "decision", "words"),
    [
        (1.0, "ship", "pass: shown to be faster: 95 % interval 1.00x to"),
        (0.999, "refuse", "fail: not shown to be faster: 95 % interval 0.999x"),
    ],
)
def test_an_interval_must_not_reach_below_one(low: float, decision: str, words: str) -> None:
    result = verdict(compared=COMPARED.model_copy(update={"speedup_low": low}))
    assert result.decision == decision
    (line,) = (reason for reason in result.reasons if "95 %" in reason)
    assert line.startswith(words)
    assert "its lower end must be at least 1.00" in line


def test_the_speedup_may_be_just_what_was_asked() -> None:
    compared = COMPARED.model_copy(update={"speedup": 1.2, "speedup_low": 1.1})
    assert verdict(compared=compared).decision == "ship"


def test_the_size_may_be_just_what_was_asked() -> None:
    limits = {"model_size_bytes": CANDIDATE.model_size_bytes}
    assert verdict(limits).decision == "ship"
    assert verdict({"model_size_bytes": CANDIDATE.model_size_bytes - 1}).decision == "refuse"


def test_an_emulator_leaves_every_budget_open() -> None:
    compared = COMPARED.model_copy(update={"emulated": True})
    result = verdict(LIMITS, compared=compared)
    assert result.decision == "unmeasured"
    assert sum("(emulated); at most" in reason for reason in result.reasons) == len(LIMITS)


def test_what_decides_comes_first_and_only_what_does_not_ship_is_advised_on() -> None:
    limits = {"latency_ms_p50": 0.1, "min_speedup": 1.0}
    result = verdict(limits, {"peak_rss_bytes": None})
    ranks = [reason.partition(":")[0] for reason in result.reasons]
    assert ranks == sorted(ranks, key=("fail", "unmeasured", "warning", "pass").index)
    assert ranks[:2] == ["fail", "unmeasured"]
    assert result.advice
    assert verdict({}, compared=None).advice
    assert not verdict().advice


WAITED = Finding(
    kind="waiting",
    text="for 40% of the time other programs had the core",
    remedy="end what else runs there",
    figures=(Figure(name="waiting_share", value=0.4, at_most=0.05),),
)


def disturbed(side: str, validity: Validity | None) -> Comparison:
    measured = getattr(COMPARED, side).model_copy(update={"validity": validity})
    return COMPARED.model_copy(update={side: measured})


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_an_invalid_measurement_never_ships(side: str) -> None:
    result = verdict(compared=disturbed(side, Validity(valid=False, reasons=(WAITED,))))
    assert result.decision == "unmeasured"
    (line,) = (check for check in result.checks if check.kind == "speed")
    assert line.text == (
        "the speed is not known, because no valid measurement came of 4 turns of each file: for 40%"
        " of the time other programs had the core; end what else runs there, and deploy again"
    )
    assert line.figures == WAITED.figures
    assert result.advice == (
        "end what else runs there, then deploy again: all but the measurement is kept",
    )


def test_a_measurement_that_nobody_looked_at_never_ships() -> None:
    assert verdict(compared=disturbed("candidate", None)).decision == "unmeasured"


def test_flags_alone_leave_it_valid() -> None:
    found = disturbed("candidate", Validity(valid=True, flags=(WAITED,)))
    assert verdict(compared=found).decision == "ship"


def test_where_only_the_ratio_is_known_no_budget_of_milliseconds_is_kept() -> None:
    """It ships, unless the user has set one."""
    found = disturbed("candidate", Validity(valid=True, flags=(WAITED,), unsteady=WAITED))
    assert verdict(compared=found).decision == "ship"
    result = verdict(LIMITS, compared=found)
    outcomes = {check.text.split(" is ")[0]: check.outcome for check in result.checks}
    assert result.decision == "unmeasured"
    assert outcomes["latency p50"] == "unmeasured"
    assert outcomes["peak memory"] in ("pass", "fail")
    assert over_budget(Budgets(max_metric_drop=0.0), found.candidate) == ()
    (line,) = over_budget(Budgets(max_metric_drop=0.0, latency_ms_p50=900.0), found.candidate)
    assert line.startswith("latency p50 is not known (for 40% of the time other programs had")


def test_of_an_invalid_measurement_memory_counts_and_no_latency() -> None:
    found = disturbed("candidate", Validity(valid=False, reasons=(WAITED,)))
    lines = {check.text: check.outcome for check in verdict(LIMITS, compared=found).checks}
    known = {text.split(" is ")[0]: outcome for text, outcome in lines.items()}
    for name in ("latency p50", "latency p90", "latency p99", "time to load"):
        assert known[name] == "unmeasured"
    assert known["peak memory"] in ("pass", "fail")
    slow = verdict(candidate={"peak_rss_bytes": 90 << 20}, compared=found)
    assert slow.decision == "refuse"


def test_a_push_is_not_activated_by_an_invalid_measurement_where_its_speed_is_limited() -> None:
    validity = Validity(valid=False, reasons=(WAITED,))
    measured = COMPARED.candidate.model_copy(update={"validity": validity})
    assert over_budget(Budgets(max_metric_drop=0.0), measured) == ()
    assert over_budget(Budgets(max_metric_drop=0.0, latency_ms_p90=900.0), measured) == (
        "latency p90 is not known (invalid: for 40% of the time other programs had the core; end"
        " what else runs there, and try again); at most 900 ms allowed",
    )


def test_throughput_is_told_as_samples_per_second() -> None:
    sides = {
        name: getattr(COMPARED, name).model_copy(update={"samples_per_s": rate})
        for name, rate in (("baseline", 704.2), ("candidate", 1886.8))
    }
    found = COMPARED.model_copy(update={**sides, "protocol": Throughput()})
    lines = [check.text for check in verdict(compared=found).checks if check.kind == "speed"]
    assert any("(1,886.8 samples per second, the baseline 704.2)" in line for line in lines)
