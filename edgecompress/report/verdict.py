"""Ship, refuse or unmeasured: every budget and the baseline, one reason line per check.

Nothing slower or worse than the baseline is ever shipped. A figure that the device did not
measure, or an emulator did, decides nothing: the verdict is then 'unmeasured' at best.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from edgecompress.report.advice import NOTHING, Facts, Seen, advise
from edgecompress.report.agreement import agreements
from edgecompress.report.budgets import budget_checks, not_measured, unsteady_because
from edgecompress.report.checks import at_least, at_most, check, passed_if
from edgecompress.report.figures import (
    apart,
    factor,
    mebibytes,
    metric_name,
    milliseconds,
    percent,
    plain,
)
from edgecompress.report.looks import look_checks
from edgecompress.report.metric import metric_checks
from edgecompress.report.rivals import metric_before, rival_checks
from edgecompress.report.time_spent import time_spent
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.figure import Figure
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import Check, ModelReport, VerdictResult

MEMORY_MARGIN = 0.10
MEMORY_MARGIN_BYTES = 1 << 20
"""Peak memory is called above the baseline's only beyond both margins: it varies by pages."""


@dataclass(frozen=True)
class Judgement:
    """What a candidate is worth, and why."""

    decision: Literal["ship", "refuse", "unmeasured"]
    checks: tuple[Check, ...]
    """What decides comes first."""
    advice: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(f"{each.outcome}: {each.text}" for each in self.checks)

    def verdict(self) -> VerdictResult:
        """The verdict as a report has it."""
        return VerdictResult(decision=self.decision, reasons=self.reasons, advice=self.advice)


def judge(
    budgets: Budgets,
    baseline: ModelReport,
    candidate: ModelReport,
    comparison: Comparison | None,
    seen: Seen = NOTHING,
) -> Judgement:
    """The verdict on a candidate, against the baseline and every budget that is set.

    Args:
        budgets: From deploy.yaml.
        baseline: Figures of the original, exported in fp32.
        candidate: Figures of the file that would ship.
        comparison: Both measured in turns on the device; None when there was none at hand.
        seen: What else is known: of the quantisation, the device's engine, and the push.

    """
    checks = [
        *_finite(budgets=budgets, baseline=baseline, candidate=candidate, comparison=comparison),
        # What it computes decides before what it costs, and the metric before all agreement.
        *metric_checks(budgets, baseline.metric, candidate.metric, candidate.change),
        *look_checks(budgets, candidate.change, seen.looks),
        *agreements(baseline, candidate),
        *([] if seen.builds_engine else _size(budgets, baseline, candidate)),
        *_offline(budgets, candidate, comparison is not None),
        *_on_device(budgets, baseline, candidate, comparison),
        *_against_rivals(budgets, comparison, seen),
        *metric_before(candidate, seen),
        *([] if seen.pushed is None else [_pushed(seen.pushed)]),
    ]
    checks.sort(key=lambda each: ("fail", "unmeasured", "warning", "pass").index(each.outcome))
    checks = _explained(checks, time_spent(baseline, candidate))
    outcomes = {each.outcome for each in checks}
    advice = advise(checks, Facts(budgets, baseline, candidate, comparison, seen))
    # A loss that nobody can rule out does not ship, however little else is wrong.
    uncertain = any(one.kind == "metric" and one.outcome == "unmeasured" for one in checks)
    if "fail" in outcomes or uncertain:
        return Judgement("refuse", tuple(checks), advice)
    if "unmeasured" in outcomes:
        return Judgement("unmeasured", tuple(checks), advice)
    return Judgement("ship", tuple(checks))


def _explained(checks: list[Check], why: str) -> list[Check]:
    """The same; the first refusal by the clock says where the time goes."""
    slow = (at for at, each in enumerate(checks) if each.outcome == "fail" and _by_clock(each))
    at = next(slow, None)
    if at is None or not why:
        return checks
    told = checks[at].model_copy(update={"text": f"{checks[at].text}; {why}"})
    return [*checks[:at], told, *checks[at + 1 :]]


def _by_clock(one: Check) -> bool:
    if one.kind == "budget":
        return any(figure.name.startswith("latency_ms") for figure in one.figures)
    return one.kind in ("speed", "race")


def _finite(**specs: BaseModel | None) -> Iterator[Check]:
    """A failed check for every figure that is NaN or infinite; none when all are numbers."""
    for name, spec in specs.items():
        if spec is not None:
            for key, value in _floats(name, spec.model_dump()):
                if not math.isfinite(value):
                    text = f"{key} is {value}, which is not a figure to judge by"
                    yield check("finite", "fail", text, Figure(name=key, value=value))


def _floats(key: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _floats(f"{key}.{name}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _floats(f"{key}[{index}]", item)


def _size(budgets: Budgets, baseline: ModelReport, candidate: ModelReport) -> Iterator[Check]:
    size, original = candidate.model_size_bytes, baseline.model_size_bytes
    yield passed_if(
        size <= original,
        "size",
        f"file has {size:,} bytes, the baseline {original:,}: {_change(size, original)}",
        at_most("model_size_bytes", size, original),
    )
    if (limit := budgets.model_size_bytes) is not None:
        text = f"file has {size:,} bytes; at most {limit:,} allowed"
        yield passed_if(size <= limit, "size", text, at_most("model_size_bytes", size, limit))


def _offline(budgets: Budgets, candidate: ModelReport, measured: bool) -> Iterator[Check]:
    """What needs no device. Comparisons are written so that NaN fails them."""
    if (least := budgets.min_int8_op_fraction) is not None:
        fraction = candidate.int8_op_fraction
        figure, bound = apart(fraction, least, percent)
        text = f"int8 kernels run {figure} of the MACs; at least {bound} asked"
        share = at_least("int8_op_fraction", fraction, least)
        if measured or fraction >= least:
            yield passed_if(fraction >= least, "int8", text, share)
        else:
            machine = candidate.inspection.machine
            text = f"{text}; on this {machine}: the board's may run more"
            yield check("int8", "unmeasured", text, share)
    for violation in candidate.inspection.violations:
        text = f"{candidate.inspection.runtime} will not take it: {violation}"
        yield check("rules", "fail", text)


def _on_device(
    budgets: Budgets,
    baseline: ModelReport,
    candidate: ModelReport,
    comparison: Comparison | None,
) -> Iterator[Check]:
    if comparison is None:
        text = "no device of this target was at hand: speed is not known"
        yield check("device", "unmeasured", text)
        yield from not_measured(budgets, "no device")
    elif comparison.emulated:
        yield check(
            "device",
            "unmeasured",
            f"{comparison.device} is emulated: {factor(comparison.speedup)} as fast there says"
            " nothing about the board",
        )
        yield from not_measured(budgets, "emulated")
    elif not comparison.valid:
        yield _invalid(comparison)
        yield from _memory(baseline, candidate)
        yield from budget_checks(budgets, candidate, "the measurement is invalid")
    else:
        yield from _speed(budgets.min_speedup, comparison)
        yield from _memory(baseline, candidate)
        yield from budget_checks(budgets, candidate, unsteady_because(comparison.candidate))


def _speed(min_speedup: float, comparison: Comparison) -> Iterator[Check]:
    figure, least = apart(comparison.speedup, min_speedup, factor)
    yield passed_if(
        comparison.speedup >= min_speedup,
        "speed",
        f"{figure} as fast as the baseline ({_speeds(comparison)}); at least {least} asked",
        at_least("speedup", comparison.speedup, min_speedup),
    )
    low, one = apart(comparison.speedup_low, 1.0, factor)
    interval = f"95 % interval {low} to {factor(comparison.speedup_high)}"
    shown = comparison.speedup_low >= 1.0
    text = f"shown to be faster: {interval}" if shown else f"not shown to be faster: {interval}"
    yield passed_if(
        shown,
        "speed",
        f"{text}; its lower end must be at least {one}",
        at_least("speedup_low", comparison.speedup_low, 1.0),
    )


def _speeds(comparison: Comparison) -> str:
    """What the speedup is the ratio of."""
    before, after = comparison.baseline, comparison.candidate
    was, now = before.samples_per_s, after.samples_per_s
    throughput = comparison.protocol is not None and comparison.protocol.protocol == "throughput"
    if throughput and was is not None and now is not None:
        return f"{now:,.1f} samples per second, the baseline {was:,.1f}"
    return (
        f"p50 {milliseconds(after.latency_ms_p50)}, the baseline's"
        f" {milliseconds(before.latency_ms_p50)}"
    )


def _against_rivals(budgets: Budgets, comparison: Comparison | None, seen: Seen) -> Iterator[Check]:
    if comparison is not None and comparison.valid and not comparison.emulated:
        yield from rival_checks(
            budgets.min_speedup, comparison, accepts_regression=seen.accepts_regression
        )


def _invalid(comparison: Comparison) -> Check:
    """Why the figures of speed decide nothing, and what to do about it."""
    against = comparison.against
    if against is None:
        text = "the speed is not known: nobody looked at whether its measurement was disturbed"
        return check("speed", "unmeasured", text)
    turns = len(comparison.candidate.turns)
    text = (
        f"the speed is not known, because no valid measurement came of {turns} turns of each file:"
        f" {against.text}; {against.remedy}, and deploy again"
    )
    return check("speed", "unmeasured", text, *against.figures)


def _memory(baseline: ModelReport, candidate: ModelReport) -> Iterator[Check]:
    before, after = baseline.peak_rss_bytes, candidate.peak_rss_bytes
    if before is None or after is None:
        text = "peak memory was not measured"
        yield check("memory", "unmeasured", text, at_most("peak_rss_bytes", after, None))
        return
    limit = max(before + MEMORY_MARGIN_BYTES, before + MEMORY_MARGIN * abs(before))
    yield passed_if(
        after <= limit,
        "memory",
        f"peak memory is {mebibytes(after)}, the baseline's {mebibytes(before)}:"
        f" {_change(after, before)}; at most {percent(MEMORY_MARGIN)},"
        f" or {mebibytes(MEMORY_MARGIN_BYTES)}, more allowed",
        at_most("peak_rss_bytes", after, limit),
    )


def _pushed(pushed: Pushed) -> Check:
    validation = pushed.validation
    if pushed.outcome != "success" or validation is None:
        why = pushed.reasons[0] if pushed.reasons else "not validated"
        text = f"{pushed.device}: {pushed.outcome.replace('_', ' ')}: {why}"
        return check("push", "fail" if pushed.refused else "unmeasured", text)
    around = (
        ""
        if validation.low is None or validation.high is None
        else f" ({plain(validation.low)} to {plain(validation.high)})"
    )
    return check(
        "push",
        "pass",
        f"{pushed.device}: release {pushed.release} is active; {metric_name(validation.metric)}"
        f" {plain(validation.value)}{around} on {validation.parity.samples} samples there,"
        f" {plain(validation.value_here)} here",
        Figure(name=validation.metric, value=validation.value),
    )


def _change(after: float, before: float) -> str:
    """'72 % less', '3 % more', 'equal'."""
    if after == before:
        return "equal"
    word = "less" if after < before else "more"
    if before <= 0:
        return word
    return f"{percent(abs(after - before) / before)} {word}"
