"""Every latency sample of both files, one histogram above the other."""

import math
from bisect import bisect_right

from edgecompress.report.svg import (
    BASELINE,
    CANDIDATE,
    INK,
    MUTED,
    SMALL,
    WIDTH,
    Drawing,
    Point,
    Scale,
    Stroke,
    Type,
    label,
)
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.measurement import Measurement

LOGARITHMIC_FROM = 10
"""Slowest over fastest sample, beyond which a linear axis would only show the outliers."""
_BINS = 120
_LEFT, _RIGHT = 4.0, WIDTH - 8.0
_PANELS = ((22.0, 96.0), (122.0, 196.0))
"""Top and bottom of each."""
_MARKS = (("p50", ""), ("p90", "5 3"), ("p99", "1.5 2.5"))


def latency(comparison: Comparison) -> tuple[str, Drawing]:
    """What it shows in words, and the drawing."""
    rows = (
        ("baseline", comparison.baseline, BASELINE),
        ("candidate", comparison.candidate, CANDIDATE),
    )
    scale = _scale([measurement for _, measurement, _ in rows])
    drawing = Drawing(232)
    for (name, measurement, colour), (top, bottom) in zip(rows, _PANELS, strict=True):
        samples = _samples(measurement)
        known = f"{len(samples):,} samples" if measurement.has_samples else "p90, p99 are bounds"
        drawing.text((0, top - 8), f"{name}, {known}", Type(INK, 10))
        _histogram(drawing, samples, (scale, top, bottom), colour)
        drawing.line([(_LEFT, bottom), (_RIGHT, bottom)], Stroke(MUTED))
        for key, dash in _MARKS:
            x = scale(getattr(measurement, f"latency_ms_{key}"))
            drawing.line([(x, top), (x, bottom)], Stroke(INK, 1.1, dash))
    bottom = _PANELS[-1][1]
    for tick in scale.ticks():
        drawing.text((scale(tick), bottom + 12), label(tick), SMALL._replace(anchor="middle"))
    unit = "latency, ms (logarithmic)" if scale.logarithmic else "latency, ms"
    drawing.text((_RIGHT, bottom + 26), unit, SMALL._replace(anchor="end"))
    for index, (key, dash) in enumerate(_MARKS):
        x = _LEFT + index * 52
        drawing.line([(x, bottom + 23), (x + 18, bottom + 23)], Stroke(INK, 1.1, dash))
        drawing.text((x + 22, bottom + 26), key)
    described = "; ".join(
        f"{name}: p50 {m.latency_ms_p50:.3g}, p90 {m.latency_ms_p90:.3g},"
        f" p99 {m.latency_ms_p99:.3g} ms"
        for name, m, _ in rows
    )
    return described, drawing


def _scale(measurements: list[Measurement]) -> Scale:
    every = [sample for measurement in measurements for sample in _samples(measurement)]
    figures = [
        value
        for measurement in measurements
        for value in (measurement.latency_ms_p50, measurement.latency_ms_p99)
        if math.isfinite(value) and value > 0
    ]
    every = [*every, *figures] or [1.0]
    if max(every) > LOGARITHMIC_FROM * min(every):
        return Scale(min(every), max(every), _LEFT, _RIGHT, logarithmic=True)
    return Scale(0.0, 1.02 * max(every), _LEFT, _RIGHT)


def _samples(measurement: Measurement) -> list[float]:
    """All of them that a logarithmic axis can show."""
    samples = [sample for turn in measurement.turns for sample in turn.latency_ms]
    return [sample for sample in samples if math.isfinite(sample) and sample > 0]


def _histogram(
    drawing: Drawing, samples: list[float], place: tuple[Scale, float, float], colour: str
) -> None:
    """Bins of equal width on the axis that is drawn, as one area."""
    scale, top, bottom = place
    width = (scale.end - scale.start) / _BINS
    counts = [0] * _BINS
    edges = [scale.start + width * (index + 1) for index in range(_BINS - 1)]
    for sample in samples:
        counts[bisect_right(edges, scale(sample))] += 1
    most = max(counts)
    if not most:
        return
    outline: list[Point] = [(scale.start, bottom)]
    for index, count in enumerate(counts):
        y = bottom - (bottom - top) * count / most
        outline += [(scale.start + width * index, y), (scale.start + width * (index + 1), y)]
    drawing.area([*outline, (scale.end, bottom)], colour)
