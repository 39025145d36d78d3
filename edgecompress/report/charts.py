"""The report's charts: matplotlib draws them, the page colours them (see svg.py).

Text stays text, and the same report gives the same bytes.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.patches
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgecompress.report.svg import (
    BASELINE,
    CANDIDATE,
    FLOAT,
    GRID,
    INK,
    INT8,
    MUTED,
    OTHER,
    REMOVED,
    SURFACE,
    inline,
)
from edgecompress.shown import shown
from edgecompress.spec.measurement import Comparison, Measurement
from edgecompress.spec.report import EpochRow, LayerRow, Report, StagePoint

_STYLE = Path(__file__).with_name("charts.mplstyle")
WIDTH_IN = 5.0
"""360 SVG units: text of 10 units is about 9 px at phone width, and 13 px on a desktop."""
LOGARITHMIC_FROM = 10
"""Slowest over fastest sample, beyond which a linear axis would only show the outliers."""
LONGEST_NAME = 24


@dataclass(frozen=True)
class Chart:
    id: str
    title: str
    description: str
    """What a reader who cannot see it should know."""
    svg: str


def draw_charts(report: Report) -> list[Chart]:
    """Every chart that the report has figures for, each an <svg> element as text."""
    points = [point for point in report.points if math.isfinite(point.metric)]
    epochs = [row for row in report.epochs if math.isfinite(row.loss + row.metric)]
    metric = report.candidate.metric.name
    charts = []
    with mpl.rc_context(fname=_STYLE):
        if points:
            charts.append(_tradeoff(points, metric))
        if report.comparison is not None:
            charts.append(_latency(report.comparison))
        if report.layers:
            charts.append(_layers(report.layers))
        if epochs:
            charts.append(_training(epochs, metric))
    return charts


def _tradeoff(points: Sequence[StagePoint], metric: str) -> Chart:
    latencies = [p.latency_ms_p50 for p in points]
    measured = [ms for ms in latencies if ms is not None and math.isfinite(ms)]
    by_latency = len(measured) == len(points)
    xs = measured if by_latency else [p.macs / 1e6 for p in points]
    figure, axes = _figure(3.1)
    ys = [p.metric for p in points]
    axes.plot(xs, ys, color=GRID, linewidth=1.2, zorder=1)
    for number, (x, y) in enumerate(zip(xs, ys, strict=True), start=1):
        colour = {1: BASELINE, len(points): CANDIDATE}.get(number, MUTED)
        axes.plot([x], [y], "o", color=colour, markersize=13, markeredgecolor=SURFACE)
        axes.annotate(
            str(number), (x, y), ha="center", va="center_baseline", color=SURFACE, weight="bold"
        )
    axes.margins(0.12, 0.16)
    axes.set_xlim(left=0)
    axes.set_xlabel("latency p50, ms" if by_latency else "MACs, million")
    axes.set_ylabel(shown(metric))
    over = "latency" if by_latency else "MACs"
    described = "; ".join(
        f"{number} {point.name}: {point.metric:.4g} at {x:.3g} {'ms' if by_latency else 'M MACs'}"
        for number, (point, x) in enumerate(zip(points, xs, strict=True), start=1)
    )
    return _chart("chart-tradeoff", f"{metric} against {over}, stage by stage", described, figure)


def _latency(comparison: Comparison) -> Chart:
    rows = (
        ("baseline", comparison.baseline, BASELINE),
        ("candidate", comparison.candidate, CANDIDATE),
    )
    samples = [_samples(measurement) for _, measurement, _ in rows]
    bounds = [m.latency_ms_p99 for _, m, _ in rows if not m.has_samples]
    every = [sample for row in samples for sample in row] or bounds or [1.0]
    logarithmic = max(every) > LOGARITHMIC_FROM * min(every)
    bins = _bins(min(every), max(every), logarithmic)
    figure = Figure(figsize=(WIDTH_IN, 3.1))
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, (name, measurement, colour), values in zip(
        (upper, lower), rows, samples, strict=True
    ):
        axes.hist(values, bins=bins, color=colour, linewidth=0, histtype="stepfilled")
        for key, style in (("p50", "-"), ("p90", "--"), ("p99", ":")):
            at = getattr(measurement, f"latency_ms_{key}")
            axes.axvline(at, color=INK, linestyle=style, linewidth=1.1, label=key)
        known = f"{len(values):,} samples" if measurement.has_samples else "p90, p99 are bounds"
        axes.set_title(f"{name}, {known}", loc="left", fontsize=10, color=INK)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
    if logarithmic:
        lower.set_xscale("log")
        lower.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        lower.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        lower.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    else:
        lower.set_xlim(left=0)
    lower.set_xlabel("latency, ms (logarithmic)" if logarithmic else "latency, ms")
    upper.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderpad=0)
    described = "; ".join(
        f"{name}: p50 {m.latency_ms_p50:.3g}, p90 {m.latency_ms_p90:.3g},"
        f" p99 {m.latency_ms_p99:.3g} ms"
        for name, m, _ in rows
    )
    return _chart("chart-latency", "Every latency sample", described, figure)


def _samples(measurement: Measurement) -> list[float]:
    """All of them that a logarithmic axis can show."""
    samples = [sample for turn in measurement.turns for sample in turn.latency_ms]
    return [sample for sample in samples if math.isfinite(sample) and sample > 0]


def _bins(low: float, high: float, logarithmic: bool, count: int = 120) -> list[float]:
    """Edges of equal width on the axis that is drawn."""
    if logarithmic:
        return [low * (high / low) ** (index / count) for index in range(count + 1)]
    return [1.02 * high * index / count for index in range(count + 1)]


def _layers(layers: Sequence[LayerRow]) -> Chart:
    figure, axes = _figure(0.9 + 0.21 * len(layers))
    places = range(len(layers))
    axes.barh(places, [row.channels_before for row in layers], 0.72, color=REMOVED)
    after = [row.channels_after for row in layers]
    axes.barh(places, after, 0.72, color=[_dtype_colour(row.dtype) for row in layers])
    axes.set_yticks(list(places), [_short(row.name) for row in layers], fontsize=9)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("output channels")
    dtypes = sorted({row.dtype or "not known" for row in layers})
    keys = [(dtype, _dtype_colour(dtype)) for dtype in dtypes]
    if any(row.channels_after < row.channels_before for row in layers):
        keys.append(("removed", REMOVED))
    handles = [matplotlib.patches.Patch(color=colour, label=shown(label)) for label, colour in keys]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, handlelength=1.0)
    before, kept = sum(row.channels_before for row in layers), sum(after)
    described = f"{len(layers)} layers, {before:,} channels before and {kept:,} after"
    return _chart("chart-layers", "Channels and types, layer by layer", described, figure)


def _dtype_colour(dtype: str | None) -> str:
    if dtype in ("int8", "uint8"):
        return INT8
    return FLOAT if dtype in ("float32", "float16") else OTHER


def _training(epochs: Sequence[EpochRow], metric: str) -> Chart:
    figure = Figure(figsize=(WIDTH_IN, 3.1))
    upper, lower = figure.subplots(2, 1, sharex=True)
    stages = list(dict.fromkeys(row.stage for row in epochs))
    palette = (BASELINE, CANDIDATE, FLOAT, OTHER, MUTED)
    for index, stage in enumerate(stages):
        rows = [(place, row) for place, row in enumerate(epochs, start=1) if row.stage == stage]
        places = [place for place, _ in rows]
        style = {"color": palette[index % len(palette)], "marker": "o", "markersize": 2.5}
        upper.plot(places, [row.metric for _, row in rows], label=_short(stage), **style)
        lower.plot(places, [row.loss for _, row in rows], **style)
    upper.set_ylabel(shown(metric))
    lower.set_ylabel("loss")
    lower.set_xlabel("epoch, all stages in order")
    lower.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=3)
    described = (
        f"{len(epochs)} epochs in {', '.join(stages)}; last {metric} {epochs[-1].metric:.4g}"
    )
    return _chart("chart-training", f"Loss and {metric} while training", described, figure)


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in))
    return figure, figure.subplots()


def _short(name: str) -> str:
    """A name that leaves room for its bar: the middle goes, because both ends tell layers apart."""
    name = shown(name)
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _chart(chart_id: str, title: str, description: str, figure: Figure) -> Chart:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    title = title[:1].upper() + title[1:]
    return Chart(chart_id, title, description, inline(buffer.getvalue(), chart_id, title))
