"""Pages over more than one run: two side by side, and all of them.

They are written when somebody asks for them, beside the reports that they are made of.
"""

from collections.abc import Sequence

from edgecompress.report.figures import factor, kibibytes, metric_name, milliseconds, plain
from edgecompress.report.page import render
from edgecompress.report.pair import comparable, pair_rows
from edgecompress.report.rows import NOTHING
from edgecompress.report.tradeoff import Dot, tradeoff
from edgecompress.spec.report import Report
from edgecompress.store import RunPoint, RunRow


def render_pair(a: Report, b: Report) -> str:
    """What ships of one run beside what ships of another."""
    return render(
        "pair.html",
        title=f"{a.run} and {b.run}",
        reports=(a, b),
        rows=pair_rows(a, b),
        caution=comparable(a, b),
    )


def render_all(rows: Sequence[RunRow], points: Sequence[RunPoint]) -> str:
    """All runs, and a chart for each task and device that has several."""
    known = {point.id: point for point in points}
    lines = [
        (
            row.id,
            row.target,
            row.started[:16].replace("T", " "),
            row.decision or "unfinished",
            metric_name(row.metric or ""),
            NOTHING if row.candidate is None else plain(row.candidate),
            _latency(known.get(row.id)),
            _size(known.get(row.id)),
            NOTHING if row.speedup is None else factor(row.speedup) + " emulated" * row.emulated,
        )
        for row in rows
    ]
    return render("all.html", title="all runs", lines=lines, charts=_charts(points))


def _latency(point: RunPoint | None) -> str:
    if point is None or point.latency_ms_p50 is None:
        return NOTHING
    return milliseconds(point.latency_ms_p50)


def _size(point: RunPoint | None) -> str:
    return NOTHING if point is None else kibibytes(point.model_size_bytes)


def _charts(points: Sequence[RunPoint]) -> list[tuple[str, str]]:
    """Heading and drawing of each group whose runs can be compared."""
    groups: dict[tuple[str, str | None, str], list[RunPoint]] = {}
    for point in points:
        if point.value is not None and point.latency_ms_p50 is not None:
            groups.setdefault((point.task, point.device, point.metric), []).append(point)
    charts = []
    for number, ((task, device, metric), found) in enumerate(groups.items(), start=1):
        dots = [
            Dot(
                point.id,
                "shipped" if place == 0 else "candidate",
                plain_value,
                point.latency_ms_p50,
                point.macs,
                point.model_size_bytes,
            )
            for place, point in enumerate(found)
            if (plain_value := point.value) is not None
        ]
        name = metric_name(metric)
        is_share = all(0 <= dot.metric <= 1 for dot in dots)
        drawn = tradeoff(dots, name, is_share=is_share)
        title = f"{task} on {device}: {name} against latency, the newest in blue"
        charts.append((title, drawn.drawing.svg(f"chart-{number}", title, drawn.description)))
    return charts
