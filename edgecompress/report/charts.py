"""The charts of report.html: which there are, from a report alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgecompress.report.bars import layers, noise, times
from edgecompress.report.figures import metric_name
from edgecompress.report.latencies import latency
from edgecompress.report.svg import (
    BASELINE,
    CANDIDATE,
    FLOAT,
    GRID,
    MUTED,
    OTHER,
    SMALL,
    WIDTH,
    Drawing,
    Point,
    Scale,
    Stroke,
    Type,
    label,
    spread,
)
from edgecompress.report.tradeoff import Dot, tradeoff
from edgecompress.spec.report import EpochRow, Report


@dataclass(frozen=True)
class Chart:
    id: str
    title: str
    description: str
    """What a reader who cannot see it should know."""
    svg: str


def draw_charts(report: Report, dots: Sequence[Dot]) -> list[Chart]:
    """Every chart that there are figures for, each an <svg> element as text."""
    epochs = [row for row in report.epochs if math.isfinite(row.loss + row.metric)]
    metric = report.candidate.metric
    name = metric_name(metric.name)
    found: list[tuple[str, str, tuple[str, Drawing]]] = []
    if dots:
        drawn = tradeoff(dots, name, is_share=metric.is_share)
        over = "latency" if drawn.by_latency else "MACs"
        found.append(("tradeoff", f"{name} against {over}", (drawn.description, drawn.drawing)))
    if report.comparison is not None:
        found.append(("latency", "Every latency sample", latency(report.comparison)))
    if any(op.time_us for op in report.candidate.inspection.ops):
        found.append(("times", "Where the time goes", times(report.candidate.inspection.ops)))
    if report.layers:
        found.append(("layers", "Channels and types, layer by layer", layers(report.layers)))
    if report.noise is not None and report.noise.operators:
        found.append(("noise", "What quantising each operator costs", noise(report.noise)))
    if epochs:
        found.append(("training", f"Loss and {name} while training", _training(epochs, name)))
    return [_chart(f"chart-{key}", title, *drawn) for key, title, drawn in found]


def _chart(chart_id: str, title: str, description: str, drawing: Drawing) -> Chart:
    title = title[:1].upper() + title[1:]
    return Chart(chart_id, title, description, drawing.svg(chart_id, title, description))


_LEFT, _RIGHT = 44.0, WIDTH - 8.0
_PALETTE = (BASELINE, CANDIDATE, FLOAT, OTHER, MUTED)


def _training(epochs: Sequence[EpochRow], metric: str) -> tuple[str, Drawing]:
    drawing = Drawing(236)
    stages = list(dict.fromkeys(row.stage for row in epochs))
    colours = {stage: _PALETTE[index % len(_PALETTE)] for index, stage in enumerate(stages)}
    x = 0.0
    for stage in stages[: len(_PALETTE)]:
        drawing.bar((x, 4), 9, 9, colours[stage])
        drawing.text((x + 13, 12), stage[:14], Type(size=10))
        x += 24 + 6 * min(len(stage), 14)
    places = Scale(1, max(len(epochs), 2), _LEFT, _RIGHT)
    panels = (
        (metric, [row.metric for row in epochs], 30.0, 112.0),
        ("loss", [row.loss for row in epochs], 134.0, 206.0),
    )
    for name, values, top, bottom in panels:
        scale = Scale(*spread(values, 0.0), bottom, top)
        _rules(drawing, scale)
        drawing.text((_RIGHT, top - 4), name, SMALL._replace(anchor="end"))
        for stage in stages:
            points: list[Point] = [
                (places(place), scale(value))
                for place, (row, value) in enumerate(zip(epochs, values, strict=True), start=1)
                if row.stage == stage
            ]
            drawing.line(points, Stroke(colours[stage], 1.6))
            for point in points if len(epochs) <= 60 else ():
                drawing.dot(point, 2, colours[stage])
    for tick in places.ticks():
        if tick == int(tick):
            drawing.text((places(tick), 218), label(tick), SMALL._replace(anchor="middle"))
    drawing.text(
        ((_LEFT + _RIGHT) / 2, 232), "epoch, all stages in order", SMALL._replace(anchor="middle")
    )
    last = epochs[-1].metric
    return f"{len(epochs)} epochs in {', '.join(stages)}; last {metric} {last:.4g}", drawing


def _rules(drawing: Drawing, scale: Scale) -> None:
    for tick in scale.ticks(4):
        y = scale(tick)
        drawing.line([(_LEFT, y), (_RIGHT, y)], Stroke(GRID))
        drawing.text((_LEFT - 4, y + 3), label(tick), SMALL._replace(anchor="end"))
