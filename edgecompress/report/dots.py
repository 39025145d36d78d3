"""The models of a report, of its race and of earlier runs as dots of a chart."""

import math
from collections.abc import Sequence

from edgecompress.report.tradeoff import Dot, Interval, Kind
from edgecompress.spec.measurement import Measurement
from edgecompress.spec.report import Report
from edgecompress.store import RunPoint


def dots_of(report: Report, earlier: Sequence[RunPoint] = ()) -> list[Dot]:
    """The model after each stage, from the original to what ships; then the other candidates of a
    race, and what earlier runs of the same task on the same device would have shipped.
    """
    return [*_stages(report), *_candidates(report), *_earlier(report, earlier)]


def _stages(report: Report) -> list[Dot]:
    points = [point for point in report.points if math.isfinite(point.metric)]
    compared, found = report.comparison, []
    for place, point in enumerate(points):
        kind: Kind = "stage"
        size, measured = None, None
        if place == 0:
            kind, size = "original", report.baseline.model_size_bytes
            measured = None if compared is None else compared.baseline
        elif place == len(points) - 1:
            kind, size = "shipped", report.candidate.model_size_bytes
            measured = None if compared is None else compared.candidate
        found.append(
            Dot(
                point.name,
                kind,
                point.metric,
                _finite(point.latency_ms_p50),
                point.macs,
                size,
                metric_interval=_metric_interval(report) if kind == "shipped" else None,
                latency_interval=_latency_interval(measured),
                note=point.note or "",
            )
        )
    return found


def _candidates(report: Report) -> list[Dot]:
    """Those of the race that were evaluated; the winner is the shipped one already."""
    if report.race is None:
        return []
    return [
        Dot(
            one.name,
            "candidate",
            one.metric,
            one.latency_ms_p50,
            size_bytes=one.model_size_bytes,
            latency_interval=None
            if one.latency_ms_low is None or one.latency_ms_high is None
            else Interval(one.latency_ms_low, one.latency_ms_high),
            note=one.why,
        )
        for one in report.race.entrants
        if one.ending != "won"
        and one.metric is not None
        and math.isfinite(one.metric)
        and one.latency_ms_p50 is not None
    ]


def _earlier(report: Report, earlier: Sequence[RunPoint]) -> list[Dot]:
    same = (report.task, report.device, report.candidate.metric.name)
    return [
        Dot(
            f"{point.id} ({point.decision})",
            "earlier",
            point.value,
            point.latency_ms_p50,
            point.macs,
            point.model_size_bytes,
        )
        for point in earlier
        if (point.task, point.device, point.metric) == same
        and point.id != report.run
        and point.value is not None
    ]


def _metric_interval(report: Report) -> Interval | None:
    """Around the metric of what ships: the original's value, less the ends of the loss."""
    change = report.candidate.change
    if change is None or change.low is None or change.high is None or change.method == "same":
        return None
    sign = -1 if report.candidate.metric.higher_is_better else 1
    ends = sorted(report.baseline.metric.value + sign * end for end in (change.low, change.high))
    return Interval(*ends) if all(map(math.isfinite, ends)) else None


def _latency_interval(measured: Measurement | None) -> Interval | None:
    for one in () if measured is None else measured.intervals:
        if one.percent == 50:
            return Interval(one.low_ms, one.high_ms)
    return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
