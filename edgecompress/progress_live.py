"""Progress on a terminal: a live bar per stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from edgecompress.shown import rich_text, shown


class _Left(ProgressColumn):
    """How long a stage may still take, where it says how much is done."""

    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        if seconds is None or task.finished or not task.completed:
            return rich_text("")
        text = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        return rich_text(f"about {text} left", style="dim")


class LiveProgress:
    """A bar for every open stage; a finished stage leaves one line with its duration
    and the last that was said of it.
    """

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]}", markup=False, style="bold"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            _Left(),
            TextColumn("{task.fields[text]}", markup=False, style="dim"),
            console=Console(stderr=True),
            transient=True,
        )
        self._open: list[TaskID] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if not self._open:
            self._bars.start()
        bar = self._bars.add_task("", total=None, stage=shown(name), count="", text="")
        self._open.append(bar)
        start = time.monotonic()
        try:
            yield
            last = self._bars.tasks[self._bars.task_ids.index(bar)].fields["text"]
            summary = f"{time.monotonic() - start:.1f} s  {last}".rstrip()
            self._print(
                Text.assemble(("done ", "green"), rich_text(f"{name}  "), rich_text(summary, "dim"))
            )
        finally:
            self._open.pop()
            self._bars.remove_task(bar)
            if not self._open:
                self._bars.stop()

    def step(self, done: int, total: int, text: str) -> None:
        if self._open:
            self._bars.update(
                self._open[-1],
                completed=done,
                total=total or None,
                count=f"{done}/{total}" if total else "",
                text=shown(text),
            )

    @contextmanager
    def lane(self, name: str) -> Iterator[Callable[[int, int, str], None]]:
        bar = self._bars.add_task("", total=None, stage=shown(name), count="", text="")

        def step(done: int, total: int, text: str) -> None:
            count = f"{100 * done // total} %" if total else ""
            self._bars.update(
                bar, completed=done, total=total or None, count=count, text=shown(text)
            )

        try:
            yield step
        finally:
            self._bars.remove_task(bar)

    def note(self, text: str) -> None:
        self._print(rich_text(f"     {text}", style="dim"))

    def _print(self, line: Text) -> None:
        self._bars.console.print(line, highlight=False)
