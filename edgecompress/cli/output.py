"""stdout holds the result and nothing else; progress, warnings and errors go to stderr."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


NO_TERMINAL = 100_000
"""Columns in a pipe or a file, where every line is whole: whoever reads it breaks lines itself."""
UNKNOWN = 80
"""Columns of a terminal that does not say."""


class Output:
    """Where a command writes its one result."""

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        self._stream = stream
        self.as_json = as_json

    def result(self, document: object, show: "Callable[[Console], None]") -> None:
        """`document` (plain data, or JSON text) with --json; else what `show` prints."""
        if self.as_json:
            write(self._stream, json_text(document))
            return
        # Imported here, because `--json` needs no rich.
        from rich.console import Console

        buffer = io.StringIO()
        tty = self._stream.isatty()
        console = Console(
            file=buffer,
            force_terminal=tty,
            width=_width(self._stream) if tty else NO_TERMINAL,
            highlight=False,
            markup=False,
            emoji=False,
        )
        show(console)
        write(
            self._stream, "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())
        )


def _width(terminal: TextIO) -> int:
    """Its columns, which may be given by COLUMNS."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        columns = os.get_terminal_size(terminal.fileno()).columns
    except OSError:
        return UNKNOWN
    return columns if columns > 0 else UNKNOWN


@contextlib.contextmanager
def output(as_json: bool) -> Iterator[Output]:
    """The result's way out. Whatever else prints to stdout meanwhile, in Python, in C, or in a
    child process, lands on stderr: exporters and runtimes do.
    """
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(real), "w", encoding="utf-8") as stream:
            yield Output(stream, as_json)
    finally:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def json_text(document: object) -> str:
    """A document (plain data, or JSON text in ASCII) as it goes to stdout."""
    text = document if isinstance(document, str) else json.dumps(document, indent=2)
    # DEL is the one character left that JSON lets through and a terminal may obey.
    return text.rstrip().replace("\x7f", "\\u007f") + "\n"


def write(stream: TextIO, text: str) -> None:
    """Write all of it; a reader that has gone away (`| head`) is no error."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # What is left in the buffer must go somewhere, or closing the stream fails again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
