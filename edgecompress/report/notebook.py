"""What a notebook shows of what a call gave: one line, and a card of HTML that stands alone."""

from collections.abc import Sequence
from functools import singledispatch
from typing import NamedTuple

from edgecompress.report.figures import (
    kibibytes,
    mebibytes,
    metric_name,
    milliseconds,
    percent,
    plain,
)
from edgecompress.report.page import render
from edgecompress.report.rows import NOTHING, figure_rows
from edgecompress.shown import shown
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.layers import LayerComparison
from edgecompress.spec.measurement import Evaluation, Inspection, Measurement
from edgecompress.spec.report import MetricValue, ModelReport, PushedRun, Report

_MOST_ROWS = 12
_TWICE = 2.0
_DOUBTED = ("fail", "unmeasured", "warning")


class Told(NamedTuple):
    """Something in words."""

    kind: str
    """What it is: 'Report'."""
    line: str
    header: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    badge: str = ""
    """'SHIP'"""
    more: Sequence[tuple[str, str]] = ()
    """Word and sentence, below the rows."""


@singledispatch
def told(value: object) -> Told:
    """What is said of a value. Raises TypeError for what nothing is known of."""
    raise TypeError(f"{type(value).__name__}: nothing is known of it")


def one_line(value: object) -> str:
    """'<Report SHIP local: 2.6x as fast (2.1x to 3.2x), accuracy 98.3 % (-0.3), 106.0 KiB>'"""
    words = told(value)
    return shown(" ".join(filter(None, (f"<{words.kind}", words.badge, words.line))) + ">")


def card(value: object, link: str | None = None) -> str:
    """A piece of HTML with its own style; all text is escaped.

    Args:
        value: what a call gave.
        link: where the whole report lies, as the notebook may open it.

    """
    return render("notebook.html", told=told(value), link=link)


@told.register
def _(report: Report) -> Told:
    before, after = report.baseline, report.candidate
    parts = (_speed(report.comparison), _metric(before, after), kibibytes(after.model_size_bytes))
    rows = [
        (row.label, row.baseline, row.candidate, row.change)
        for row in figure_rows(report)
        if row.candidate != NOTHING
    ]
    doubted = [check for check in report.checks if check.outcome in _DOUBTED]
    passed = len(report.checks) - len(doubted)
    more: list[tuple[str, str]] = []
    more += [(check.outcome, check.text) for check in doubted[:_MOST_ROWS]]
    more += [("pass", f"{passed} of {len(report.checks)} checks")]
    if report.pushed is not None:
        more += [("device", f"{report.pushed.device}: {report.pushed.outcome.replace('_', ' ')}")]
    more += [("try", line) for line in report.verdict.advice[:1]]
    return Told(
        "Report",
        f"{report.target}: {', '.join(parts)}",
        ("", "original", "candidate", ""),
        rows,
        report.verdict.decision.upper(),
        more,
    )


@told.register
def _(measurement: Measurement) -> Told:
    rows = [
        ("latency p50", milliseconds(measurement.latency_ms_p50)),
        ("latency p90", milliseconds(measurement.latency_ms_p90)),
        ("latency p99", milliseconds(measurement.latency_ms_p99)),
        ("first inference", milliseconds(measurement.first_inference_ms)),
        ("load time", milliseconds(measurement.init_time_ms)),
        ("peak memory", mebibytes(measurement.peak_rss_bytes)),
    ]
    against = _against(measurement)
    line = f"p50 {rows[0][1]}, p90 {rows[1][1]}, {rows[5][1]}{', not valid' * bool(against)}"
    return Told("Measurement", line, rows=rows, more=[("not valid", text) for text in against])


@told.register
def _(comparison: Comparison) -> Told:
    both = comparison.baseline, comparison.candidate
    rows = [
        ("latency p50", *(milliseconds(each.latency_ms_p50) for each in both)),
        ("latency p90", *(milliseconds(each.latency_ms_p90) for each in both)),
        ("load time", *(milliseconds(each.init_time_ms) for each in both)),
        ("peak memory", *(mebibytes(each.peak_rss_bytes) for each in both)),
    ]
    against = comparison.against
    more = [] if against is None else [("not valid", against.text)]
    line = f"{_speed(comparison)}, {rows[0][2]} against {rows[0][1]}"
    return Told("Comparison", line, ("", "the other", "the file"), rows, more=more)


@told.register
def _(evaluation: Evaluation) -> Told:
    is_share = evaluation.is_share
    value = percent(evaluation.value) if is_share else plain(evaluation.value)
    line = f"{metric_name(evaluation.metric)} {value} of {evaluation.samples:,} samples"
    return Told("Evaluation", line)


@told.register
def _(inspection: Inspection) -> Told:
    refused = len(inspection.violations)
    line = (
        f"{inspection.runtime}: {len(inspection.ops)} operators,"
        f" {percent(inspection.int8_op_fraction)} of the MACs in int8"
        + f", {refused} refused"
        * bool(refused)
    )
    reasons = [(op.name, op.op_type, op.dtype, op.reason) for op in inspection.ops if op.reason]
    rows = [(*row[:3], row[3] or "") for row in reasons[:_MOST_ROWS]]
    header = ("operator", "kind", "type", "why not int8") if rows else ()
    more = [("refused", text) for text in inspection.violations[:_MOST_ROWS]]
    if len(reasons) > len(rows):
        more.append(("and", f"{len(reasons) - len(rows)} operators more"))
    return Told("Inspection", line, header, rows, more=more)


@told.register
def _(comparison: LayerComparison) -> Told:
    apart = comparison.first_apart
    where = "none is apart" if apart is None else f"the first that is apart: {apart}"
    line = f"{len(comparison.layers)} layers on {comparison.samples} samples: {where}"
    widest = sorted(comparison.layers, key=lambda each: -each.max_steps)[:_MOST_ROWS]
    rows = [(each.layer, f"{each.max_steps:g}", percent(each.differing)) for each in widest]
    return Told("LayerComparison", line, ("layer", "most steps apart", "differing"), rows)


@told.register
def _(pushed: PushedRun) -> Told:
    ends = [(one.device, one.outcome.replace("_", " ")) for one in pushed.devices]
    line = f"{pushed.run}: " + ", ".join(f"{device} {outcome}" for device, outcome in ends)
    more = [(one.device, reason) for one in pushed.devices for reason in one.reasons[:1]]
    return Told("PushedRun", line, ("device", "outcome"), ends, more=more)


def _speed(comparison: Comparison | None) -> str:
    if comparison is None:
        return "speed not measured"
    if comparison.emulated:
        return "speed emulated"
    speedup, low, high = comparison.speedup, comparison.speedup_low, comparison.speedup_high
    return f"{_times(speedup)} as fast ({_times(low)} to {_times(high)})" + ", not valid" * (
        not comparison.valid
    )


def _times(value: float) -> str:
    """2.6x, and 1.08x: near one the second digit matters."""
    return f"{value:.{2 if value < _TWICE else 1}f}x"


def _metric(before: ModelReport, after: ModelReport) -> str:
    """'accuracy 98.3 % (-0.3)', or 'word error rate 0.1220 (+0.0040)'."""
    metric, change = after.metric, after.metric.value - before.metric.value
    value = plain(metric.value)
    gain = f"{change:+.4f}"
    if _is_share(metric, after):
        value, gain = percent(metric.value), f"{100 * change:+.1f}"
    return f"{metric_name(metric.name)} {value} ({gain})"


def _is_share(metric: MetricValue, model: ModelReport) -> bool:
    return metric.is_share or model.accuracy is not None


def _against(measurement: Measurement) -> list[str]:
    validity = measurement.validity
    return [] if validity is None else [reason.text for reason in validity.reasons]
