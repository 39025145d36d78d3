"""The report on a terminal: the verdict, the figures with what casts doubt on them, what became
of it on the device, the reasons, and what to do next.
"""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from edgecompress.report.answers import next_steps
from edgecompress.report.device import measurement_notes, pushed_rows
from edgecompress.report.noise import noise_lines, search_lines
from edgecompress.report.rows import FigureRow, figure_rows
from edgecompress.shown import rich_text
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import Check, Report

_TREND_STYLE = {"better": "green", "worse": "red", "same": "dim"}
_DECISION_STYLE = {
    "ship": "bold white on green",
    "refuse": "bold white on red",
    "unmeasured": "bold black on yellow",
}
_STATUS_STYLE = {
    "pass": "green",
    "fail": "bold red",
    "unmeasured": "yellow",
    "warning": "bold yellow",
    "note": "dim",
    "noise": "dim",
    "float": "dim",
    "latency": "yellow",
    "try": "bold",
    "next": "bold",
}
_HANG = 12
"""Reasons and notes start in this column, and so do their further lines."""


def print_report(report: Report, console: Console) -> None:
    """Print all but the details, a line for each fact; plain text where there is no terminal."""
    decision = report.verdict.decision
    title = rich_text(_title(report))
    console.print(rich_text(f" {decision.upper()} ", style=_DECISION_STYLE[decision]), title)
    console.print(_figures(figure_rows(report)), crop=False)
    if beside := measurement_notes(report):
        console.print(_lines(("latency", note) for note in beside))
        console.print()
    if report.pushed is not None:
        _print_pushed(report.pushed, console)
    told = [(check.outcome, check.text) for check in report.checks if _is_told(check)]
    console.print(_lines([*told, *_beside(report)]))
    word = "next" if decision == "ship" else "try"
    console.print(_lines((word, line) for line in next_steps(report)))


def _is_told(check: Check) -> bool:
    """A step on the way to the file that went well only explains; report.html has it."""
    return check.kind != "hop" or check.outcome != "pass"


def _beside(report: Report) -> list[tuple[str, str]]:
    """What is to be known besides, and decides nothing."""
    told: list[tuple[str, str]] = []
    if report.noise is not None:
        told += [("noise", line) for line in noise_lines(report.noise)]
    if report.search is not None:
        told += [("float", line) for line in search_lines(report.search)]
    return told + [("note", note) for note in report.notes]


def _title(report: Report) -> str:
    where = report.device or "no device at hand"
    emulated = report.comparison is not None and report.comparison.emulated
    return f"{report.task} for {report.target}, on {where}{' (emulated)' * emulated}"


def _figures(rows: list[FigureRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("baseline", "candidate", "change"):
        table.add_column(name, justify="right")
    for row in rows:
        change = rich_text(row.change, style=_TREND_STYLE[row.trend])
        table.add_row(*map(rich_text, (row.label, row.baseline, row.candidate)), change)
    return table


def _print_pushed(pushed: Pushed, console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in pushed_rows(pushed):
        grid.add_row(rich_text(f" {label}"), rich_text(text))
    console.print(rich_text(f"On {pushed.device}", style="bold"), grid, "", sep="\n")


def _lines(rows: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(min_width=_HANG - 1, no_wrap=True)
    grid.add_column(overflow="fold")
    for word, text in rows:
        grid.add_row(rich_text(word, style=_STATUS_STYLE.get(word, "")), rich_text(text))
    return grid
