"""`edgecompress optimize`: a search for a recipe, and what it prints."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.deployed import DECISION_CODES, show_report
from edgecompress.cli.failure import INTERRUPTED, tell
from edgecompress.cli.options import DEPLOY_YAML, Config, InventoryFile, Json
from edgecompress.cli.output import Output, output
from edgecompress.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from edgecompress.optimize import Asked
    from edgecompress.optimize.whole import Found

optimize_app = typer.Typer()


@optimize_app.command()
def optimize(
    board: Annotated[str, typer.Argument(help="A board, or a target.")],
    time: Annotated[
        str | None,
        typer.Option("--time", help="How long to search: 90m, 2h. 30m when nothing is said."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", help="How many recipes to try at most.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            help="URL of a database for the trials, which several machines may share; else"
            " runs/search.sqlite.",
        ),
    ] = None,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    as_json: Json = False,
) -> None:
    """Search the best recipe for a board, and deploy it."""
    with output(as_json) as out:
        from edgecompress.optimize import Asked

        code = search(out, config, board, Asked(time, trials, study, inventory))
    raise typer.Exit(code)


def search(out: Output, config: Path, board: str, asked: "Asked") -> int:
    """Search, show what was found, and give the exit code of its verdict."""
    from edgecompress.optimize import optimize as find
    from edgecompress.progress import progress_on_stderr

    found = find(config, board, asked, progress_on_stderr())
    out.result(_document(found), lambda console: _show(found, console))
    if found.shipped is None:
        tell(INTERRUPTED, as_json=False)
        # Not typer's Exit: of an interrupt that has no result yet it would be told once more.
        raise SystemExit(EXIT_INTERRUPTED)
    return DECISION_CODES[found.shipped.verdict.decision]


def _document(found: "Found") -> dict[str, object]:
    from edgecompress.spec.report import to_json

    shipped = None if found.shipped is None else json.loads(to_json(found.shipped))
    return {"search": found.report.model_dump(mode="json"), "report": shipped}


def _show(found: "Found", console: "Console") -> None:
    from edgecompress.cli.printing import line
    from edgecompress.report.search import print_search

    print_search(found.report, console)
    if found.shipped is not None:
        console.print()
        runs = found.page.parents[2]
        show_report(found.shipped, runs / found.shipped.run / "report.html", console)
        recipe = found.report.recipe
        line(console, f"recipe: {recipe} (edgecompress deploy {found.shipped.target} -c {recipe})")
    line(console, f"search: {found.page}")
