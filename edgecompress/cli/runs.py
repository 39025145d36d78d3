"""`runs` and `report`: what there was, and one run, two or all of them again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.options import Json
from edgecompress.cli.output import Output, output
from edgecompress.errors import SpecError

if TYPE_CHECKING:
    from types import ModuleType

    from edgecompress.store import Store

runs_app = typer.Typer()
RunsFolder = Annotated[Path, typer.Option("--runs", help="The folder of runs.")]
RUNS = Path("runs")
KEEP = 5
"""Runs that `runs --prune` leaves."""
ALL_RUNS = "all.html"


def _tables() -> "ModuleType":
    """What prints for a person; it imports rich, which --json does without."""
    from edgecompress.cli import run_tables

    return run_tables


@runs_app.command()
def runs(
    folder: RunsFolder = RUNS,
    prune: Annotated[bool, typer.Option(help="Remove all but the newest runs.")] = False,
    keep: Annotated[
        int | None, typer.Option(min=0, help=f"With --prune: how many runs stay [{KEEP}].")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the runs, or remove old ones with --prune."""
    with output(as_json) as out:
        from dataclasses import asdict

        from edgecompress.store import Store

        if keep is not None and not prune:
            raise SpecError("runs: --keep says what --prune leaves; add --prune")
        if not folder.is_dir():
            text = f"{folder}: no runs yet; next: edgecompress deploy TARGET"
            out.result({"runs": []}, lambda console: _tables().line(console, text))
            return
        store = Store(folder)
        if prune:
            pruned = store.prune(KEEP if keep is None else keep)
            out.result(asdict(pruned), lambda console: _tables().pruned(pruned, console))
            return
        rows = store.runs()
        document = {"runs": [asdict(row) for row in rows]}
        out.result(document, lambda console: _tables().runs(rows, console))


@runs_app.command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's id, the beginning of one, or 'latest'.")
    ] = None,
    other: Annotated[
        str | None, typer.Argument(help="Another run, to be shown beside the first.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="One page over all runs.")] = False,
    folder: RunsFolder = RUNS,
    html: Annotated[bool, typer.Option("--html", help="Print where the page lies.")] = False,
    as_json: Json = False,
) -> None:
    """Show a report again, two side by side, or all on one page."""
    with output(as_json) as out:
        from edgecompress.store import Store

        if every == (run is not None):
            raise SpecError("report: name a run, such as 'latest', or give --all, not both")
        if not folder.is_dir():
            raise SpecError(f"{folder}: no runs there; deploy first, or name them with --runs")
        store = Store(folder)
        if run is None:
            _all(out, store, html=html)
        elif other is not None:
            _two(out, store, (run, other), html=html)
        else:
            _one(out, store, run, html=html)


def _one(out: Output, store: "Store", run: str, *, html: bool) -> None:
    if html:
        _path(out, _whole_page(store, run))
        return
    from edgecompress.cli.deployed import show_report
    from edgecompress.spec.report import to_json

    found = store.report(run)
    page = store.run_dir(found.run) / "report.html"
    out.result(to_json(found), lambda console: show_report(found, page, console))


def _whole_page(store: "Store", run: str) -> Path:
    """The report.html of a run; rendered again where it is not as it was written."""
    page = store.page(store.find_run(run).id)
    if page is not None:
        return page
    from edgecompress.report.html import render_html

    found = store.report(run)
    return store.write_reports(found, render_html(found, store.points())) / "report.html"


def _two(out: Output, store: "Store", runs: tuple[str, str], *, html: bool) -> None:
    import json

    from edgecompress.report.pages import render_pair
    from edgecompress.spec.report import to_json
    from edgecompress.store import atomic_write

    a, b = (store.report(run) for run in runs)
    page = store.run_dir(a.run) / f"beside-{b.run}.html"
    atomic_write(page, render_pair(a, b).encode())
    if html:
        _path(out, page)
        return
    document = {"reports": [json.loads(to_json(each)) for each in (a, b)]}
    out.result(document, lambda console: _tables().pair(a, b, page, console))


def _all(out: Output, store: "Store", *, html: bool) -> None:
    from dataclasses import asdict

    from edgecompress.report.pages import render_all
    from edgecompress.store import atomic_write

    rows = store.runs()
    if not any(row.finished for row in rows):
        raise SpecError(f"{store.root}: no run has finished yet; next: edgecompress deploy TARGET")
    page = store.root / ALL_RUNS
    atomic_write(page, render_all(rows, store.points()).encode())
    if html:
        _path(out, page)
        return
    document = {"runs": [asdict(row) for row in rows], "report_html": str(page)}
    out.result(document, lambda console: _tables().every(rows, page, console))


def _path(out: Output, page: Path) -> None:
    out.result({"report_html": str(page)}, lambda console: _tables().line(console, str(page)))
