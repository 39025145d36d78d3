"""An exception that nobody meant: told in one line, with its traceback in a file."""

import contextlib
import os
import tempfile
import traceback

from edgecompress.shown import shown, shown_lines

MOST_CHARACTERS = 2000


def traceback_of(error: BaseException) -> str:
    """As it may be printed: a message in it may quote a device."""
    return shown_lines("".join(traceback.format_exception(error)))


def told_as_defect(error: BaseException) -> str:
    """The line for the user; where the traceback lies is in it, if it could be written."""
    saved = ""
    # A defect on a full disk must still be told.
    with contextlib.suppress(OSError):
        number, path = tempfile.mkstemp(prefix="edgecompress-traceback-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(traceback_of(error))
        saved = f" with {path}"
    what = " ".join(f"{type(error).__name__}: {error}"[:MOST_CHARACTERS].split())
    return f"a defect of edgecompress, please report it{saved}: {shown(what)}"
