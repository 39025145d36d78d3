"""The figures of a report as rows of text: what the terminal and the HTML both show."""

from dataclasses import dataclass
from typing import Literal

from edgecompress.report.figures import (
    Unit,
    apart,
    count,
    factor,
    kibibytes,
    mebibytes,
    millijoules,
    milliseconds,
    percent,
    plain,
)
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.report import ModelReport, Report

Trend = Literal["better", "worse", "same"]
NOTHING = "-"


@dataclass(frozen=True)
class FigureRow:
    label: str
    baseline: str
    candidate: str
    change: str
    trend: Trend


_SMALLER_IS_BETTER: tuple[tuple[str, str, Unit], ...] = (
    ("latency_ms_p50", "latency p50", milliseconds),
    ("latency_ms_p90", "latency p90", milliseconds),
    ("latency_ms_p99", "latency p99", milliseconds),
    ("first_inference_ms", "first inference", milliseconds),
    ("init_time_ms", "load time", milliseconds),
    ("peak_rss_bytes", "peak memory", mebibytes),
    ("model_size_bytes", "file size", kibibytes),
    ("macs", "MACs", count),
    ("params", "parameters", count),
)


def figure_rows(report: Report) -> list[FigureRow]:
    """The metric, then every figure where smaller is better, then the int8 share.

    Energy is among them only where the device measured its power.
    """
    rows = [_metric_row(report.baseline, report.candidate)]
    for key, label, unit in _SMALLER_IS_BETTER:
        before, after = getattr(report.baseline, key), getattr(report.candidate, key)
        rows.append(_smaller_row(label, before, after, unit))
    if report.comparison is not None:
        rows += _energy_rows(report.comparison)
    before, after = report.baseline.int8_op_fraction, report.candidate.int8_op_fraction
    texts = percent(before), percent(after)
    rows.append(FigureRow("MACs in int8", *texts, "", _trend(after - before)))
    return rows


def _metric_row(baseline: ModelReport, candidate: ModelReport) -> FigureRow:
    before, after = baseline.metric, candidate.metric
    texts = apart(before.value, after.value, plain)
    gain = after.value - before.value
    change = f"{gain:+.4f}" if gain else "equal"
    trend = _trend(gain if after.higher_is_better else -gain)
    return FigureRow(after.name, *texts, change, trend)


def _energy_rows(comparison: Comparison) -> list[FigureRow]:
    before = comparison.baseline.energy_mj_per_inference
    after = comparison.candidate.energy_mj_per_inference
    if before is None and after is None:
        return []
    return [_smaller_row("energy", before, after, millijoules)]


def _smaller_row(label: str, before: float | None, after: float | None, unit: Unit) -> FigureRow:
    if before is None or after is None:
        old, new = (NOTHING if value is None else unit(value) for value in (before, after))
        return FigureRow(label, old, new, "", "same")
    return FigureRow(
        label, unit(before), unit(after), _times(before, after), _trend(before - after)
    )


def _times(before: float, after: float) -> str:
    """'2.31x less', '1.10x more', 'equal'; nothing where a ratio means nothing."""
    if before == after:
        return "equal"
    if before <= 0 or after <= 0:
        return ""
    return f"{factor(before / after)} less" if after < before else f"{factor(after / before)} more"


def _trend(gain: float) -> Trend:
    if gain > 0:
        return "better"
    return "worse" if gain < 0 else "same"
