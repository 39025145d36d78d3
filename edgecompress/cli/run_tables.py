"""What the commands on runs print for a person; without specs, which take a tenth of a second."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from edgecompress.cli.printing import line, table
from edgecompress.report.figures import metric_name

if TYPE_CHECKING:
    from pathlib import Path

    from edgecompress.spec.report import Report
    from edgecompress.store import PruneResult, RunRow

__all__ = ["every", "line", "pair", "pruned", "runs", "speedup"]

MIB = 2**20


def runs(rows: "Sequence[RunRow]", console: Console) -> None:
    cells = [
        (
            row.id,
            row.target,
            row.started[:16].replace("T", " "),
            row.state,
            "" if row.candidate is None else f"{metric_name(row.metric or '')} {row.candidate:.4f}",
            "" if row.speedup is None else speedup(row.speedup, row.emulated),
        )
        for row in rows
    ]
    table(
        console, ("run", "target", "started (UTC)", "verdict", "metric", "speedup"), cells, names=2
    )


def pruned(result: "PruneResult", console: Console) -> None:
    text = (
        f"removed {result.runs} runs, {result.stages} stages and {result.blobs} files;"
        f" {result.freed_bytes / MIB:.1f} MiB are free again, what was left unfinished included"
    )
    if result.in_use:
        text += "; a deploy is at work, so what only old runs used waits for the next time"
    line(console, text)


def speedup(factor: float, emulated: bool) -> str:
    """'2.31x', with a word where it says nothing about a board."""
    return f"{factor:.2f}x{' (emulated)' * emulated}"


def pair(a: "Report", b: "Report", page: "Path", console: Console) -> None:
    """The figures of what ships, of one run beside those of another."""
    from edgecompress.report.pair import pair_rows

    rows = [(row.label, row.baseline, row.candidate, row.change) for row in pair_rows(a, b)]
    table(console, ("", a.run, b.run, "change"), rows)
    line(console, f"report: {page}")


def every(rows: "Sequence[RunRow]", page: "Path", console: Console) -> None:
    """All runs, and the page that shows them."""
    runs(rows, console)
    line(console, f"report: {page}")
