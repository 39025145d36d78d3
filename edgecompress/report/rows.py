"""The figures of a report as rows of text: what the terminal and the HTML both show."""

from dataclasses import dataclass
from typing import Literal

from edgecompress.report.figures import (
    Unit,
    apart,
    count,
    kibibytes,
    mebibytes,
    metric_name,
    millijoules,
    milliseconds,
    percent,
    plain,
    ratio_in_words,
)
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.report import MetricValue, ModelReport, Report

Trend = Literal["better", "worse", "same"]
NOTHING = "-"


@dataclass(frozen=True)
class FigureRow:
    label: str
    baseline: str
    candidate: str
    change: str
    trend: Trend


Words = tuple[str, str]
_SPEED: Words = ("faster", "slower")
_SIZE: Words = ("smaller", "larger")
_NUMBER: Words = ("fewer", "more")
_SMALLER_IS_BETTER: tuple[tuple[str, str, Unit, Words], ...] = (
    ("latency_ms_p50", "latency p50", milliseconds, _SPEED),
    ("latency_ms_p90", "latency p90", milliseconds, _SPEED),
    ("latency_ms_p99", "latency p99", milliseconds, _SPEED),
    ("first_inference_ms", "first inference", milliseconds, _SPEED),
    ("init_time_ms", "load time", milliseconds, _SPEED),
    ("peak_rss_bytes", "peak memory", mebibytes, _SIZE),
    ("model_size_bytes", "file size", kibibytes, _SIZE),
    ("macs", "MACs", count, _NUMBER),
    ("params", "parameters", count, _NUMBER),
)


def figure_rows(report: Report) -> list[FigureRow]:
    """The metric, then every figure where smaller is better, then the int8 share.

    Energy is among them only where the device measured its power.
    """
    rows = [metric_row(report.baseline.metric, report.candidate.metric)]
    rows += smaller_rows(report.baseline, report.candidate)
    if report.comparison is not None:
        rows += _energy_rows(report.comparison)
    before, after = report.baseline.int8_op_fraction, report.candidate.int8_op_fraction
    texts = percent(before), percent(after)
    rows.append(FigureRow("MACs in int8", *texts, "", _trend(after - before)))
    return rows


def smaller_rows(before: ModelReport, after: ModelReport) -> list[FigureRow]:
    """Every figure of two files where smaller is better."""
    return [
        _smaller_row(label, (getattr(before, key), getattr(after, key)), unit, words)
        for key, label, unit, words in _SMALLER_IS_BETTER
    ]


def metric_row(before: MetricValue, after: MetricValue) -> FigureRow:
    """The metric, by the name that people have for it."""
    texts = apart(before.value, after.value, plain)
    gain = after.value - before.value
    change = f"{gain:+.4f}" if gain else "equal"
    trend = _trend(gain if after.higher_is_better else -gain)
    return FigureRow(metric_name(after.name), *texts, change, trend)


def _energy_rows(comparison: Comparison) -> list[FigureRow]:
    before = comparison.baseline.energy_mj_per_inference
    after = comparison.candidate.energy_mj_per_inference
    if before is None and after is None:
        return []
    return [_smaller_row("energy", (before, after), millijoules, ("less", "more"))]


def _smaller_row(
    label: str, values: tuple[float | None, float | None], unit: Unit, words: Words
) -> FigureRow:
    before, after = values
    if before is None or after is None:
        old, new = (NOTHING if value is None else unit(value) for value in values)
        return FigureRow(label, old, new, "", "same")
    change = ratio_in_words(before, after, words)
    trend = "same" if change == "about equal" else _trend(before - after)
    return FigureRow(label, unit(before), unit(after), change, trend)


def _trend(gain: float) -> Trend:
    if gain > 0:
        return "better"
    return "worse" if gain < 0 else "same"
