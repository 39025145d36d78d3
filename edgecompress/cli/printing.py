"""Tables and lines for a person. No name is broken: it is to be found and copied."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from edgecompress.shown import rich_text


def table(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1
) -> None:
    """A row for each thing. The first `names` columns are never broken, however narrow the terminal
    is; then the line is longer than it.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        longest = max((cell_len(row[index]) for row in rows if index < names), default=0)
        table.add_column(
            rich_text(name),
            overflow="fold",
            no_wrap=index < names,
            min_width=max(longest, cell_len(name)) if index < names else None,
        )
    for row in rows:
        table.add_row(*map(rich_text, row))
    console.print(table, crop=False)


def line(console: Console, text: str) -> None:
    """One line, however long: a path in it is to be found and copied."""
    console.print(rich_text(text), soft_wrap=True)


def fields(console: Console, title: str, rows: dict[str, str]) -> None:
    """What is known of one thing, a row each."""
    table(console, (title, ""), list(rows.items()))
