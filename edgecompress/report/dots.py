"""The models of a report as dots of a chart."""

import math

from edgecompress.report.tradeoff import Dot, Kind
from edgecompress.spec.report import Report


def dots_of(report: Report) -> list[Dot]:
    """The model after each stage, from the original to what ships."""
    points = [point for point in report.points if math.isfinite(point.metric)]
    found = []
    for place, point in enumerate(points):
        kind: Kind = "stage"
        size = None
        if place == 0:
            kind, size = "original", report.baseline.model_size_bytes
        elif place == len(points) - 1:
            kind, size = "shipped", report.candidate.model_size_bytes
        latency = point.latency_ms_p50
        found.append(
            Dot(
                point.name,
                kind,
                point.metric,
                latency if latency is None or math.isfinite(latency) else None,
                point.macs,
                size,
            )
        )
    return found
