"""What a search found, on a terminal and as a page."""

import math

from rich import box
from rich.console import Console
from rich.table import Table

from edgecompress.report.figures import factor, kibibytes, metric_name, milliseconds, plain
from edgecompress.report.page import render
from edgecompress.report.rows import NOTHING
from edgecompress.report.tradeoff import Dot, Kind, tradeoff
from edgecompress.shown import rich_text
from edgecompress.spec.search import Contribution, SearchReport, TrialRow, latency_ms

_BEYOND_CHANCE = 4.0
"""So many standard errors."""


def print_search(report: SearchReport, console: Console) -> None:
    """The front, and what the methods gave; plain text where there is no terminal."""
    name = metric_name(report.metric)
    console.print(rich_text(headline(report)))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("trial", "latency p50", "plain int8", name, "file", "took", "recipe"):
        table.add_column(title, justify="left" if title == "recipe" else "right")
    for row in report.front:
        table.add_row(*map(rich_text, cells(report, row)))
    console.print(table, crop=False)
    for line in contribution_lines(report):
        console.print(rich_text(line))
    known = known_by_heart(report)
    if known is not None:
        console.print(rich_text(known))


def headline(report: SearchReport) -> str:
    """'The front of 23 trials for local, best first by speed; the original has accuracy 0.9312'"""
    done = sum(row.state == "complete" for row in report.trials)
    return (
        f"The front of {done} trials in {_time(report.seconds)} for {report.board}, the fastest"
        f" first; the original has {metric_name(report.metric)} {plain(report.original_metric)}"
    )


def known_by_heart(report: SearchReport) -> str | None:
    """What to do where the original does so much better on the validation data than on the
    evaluation data that it must have been trained on them; None: nothing shows that.
    """
    evaluated, samples = report.evaluated_metric, report.evaluated_samples
    if evaluated is None or not samples or not (report.is_share and report.higher_is_better):
        return None
    chance = math.sqrt(2 * max(evaluated * (1 - evaluated), 1 / samples) / samples)
    if report.original_metric - evaluated <= _BEYOND_CHANCE * chance:
        return None
    return (
        f"The original has {plain(report.original_metric)} on the validation data and"
        f" {plain(evaluated)} on the evaluation data. It was probably trained on the former, so"
        " that a smaller model seems to lose more than it does; give a validation_data() that it"
        " has not seen"
    )


def cells(report: SearchReport, row: TrialRow) -> tuple[str, ...]:
    """A row of the table of trials."""
    base = plain_ms(report)
    is_measured = row.latency_ms_p50 is not None
    marks = f"{row.number}{' *' * (row.number == report.best)}"
    return (
        marks,
        milliseconds(latency_ms(row)) if is_measured else NOTHING,
        factor(base / latency_ms(row)) if is_measured and base is not None else NOTHING,
        NOTHING if row.metric is None else plain(row.metric) + " (proxy)" * (not row.exact),
        NOTHING if row.model_size_bytes is None else kibibytes(row.model_size_bytes),
        NOTHING if row.seconds is None else _time(row.seconds),
        f"{row.what} ({row.target})",
    )


def plain_ms(report: SearchReport) -> float | None:
    """The latency of int8 without anything else, in the runtime where that is fastest."""
    found = [
        row.latency_ms_p50
        for row in report.trials
        if row.is_plain and row.latency_ms_p50 is not None
    ]
    return min(found, default=None)


def contribution_lines(report: SearchReport) -> list[str]:
    """'QAT: 0.41 ms with it, 0.52 ms without (5 trials); 31 % of the front'"""
    return [_contribution(one) for one in report.contributions]


def _contribution(one: Contribution) -> str:
    having, without = (
        "none within the budgets" if ms is None else milliseconds(ms)
        for ms in (one.with_ms, one.without_ms)
    )
    share = f"{100 * one.front_share:.0f} % of the front"
    return f"{one.method}: {having} with it, {without} without; {share} ({one.trials} trials)"


def render_search(report: SearchReport) -> str:
    """The page of a search as text. The same arguments give the same bytes."""
    dots = [_dot(report, row) for row in report.front]
    drawn = tradeoff(dots, metric_name(report.metric), is_share=report.is_share) if dots else None
    title = "The front: the metric against latency"
    return render(
        "search.html",
        title=f"search for {report.board}",
        report=report,
        headline=headline(report),
        known=known_by_heart(report),
        chart=None if drawn is None else drawn.drawing.svg("chart-front", title, drawn.description),
        chart_title=title,
        front=[cells(report, row) for row in report.front],
        trials=[(row, cells(report, row)) for row in report.trials],
        metric=metric_name(report.metric),
        contributions=report.contributions,
        nothing=NOTHING,
    )


def _dot(report: SearchReport, row: TrialRow) -> Dot:
    kind: Kind = "shipped" if row.number == report.best else "candidate"
    metric = 0.0 if row.metric is None else row.metric
    return Dot(
        f"trial {row.number}", kind, metric, row.latency_ms_p50, size_bytes=row.model_size_bytes
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
