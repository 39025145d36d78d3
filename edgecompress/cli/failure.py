"""Every way a command can end other than well: one line on stderr, and an exit code."""

import contextlib
import errno
import os
import sys
from dataclasses import dataclass

import typer

from edgecompress.cli.output import json_text, write
from edgecompress.errors import (
    EXIT_BAD_INPUT,
    EXIT_DEFECT,
    EXIT_DEVICE,
    EXIT_INTERRUPTED,
    EdgecompressError,
)
from edgecompress.shown import shown

_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}


@dataclass(frozen=True)
class Failure:
    message: str
    kind: str
    exit_code: int

    def document(self) -> dict[str, str | int]:
        """As --json has it."""
        return {"message": self.message, "kind": self.kind, "exit_code": self.exit_code}


INTERRUPTED = Failure(
    "interrupted; run the same command again to resume", "Interrupted", EXIT_INTERRUPTED
)


def failure_of(error: BaseException) -> Failure:
    """What to tell the user about an exception."""
    # Imported here, because what ends well needs none of it.
    from edgecompress.defect import told_as_defect, traceback_of
    from edgecompress.packages import misfit

    if debugging():
        print(traceback_of(error), file=sys.stderr, flush=True)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, EdgecompressError):
        return Failure(str(error), type(error).__name__, error.exit_code)
    if isinstance(error, typer.TyperException):
        message = f"{error.format_message().rstrip('.')}; see edgecompress --help"
        return Failure(" ".join(message.split()), "UsageError", EXIT_BAD_INPUT)
    if isinstance(error, OSError) and error.errno in _STORAGE:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        return Failure(
            f"{what}; free the space or choose another folder", "StorageError", EXIT_BAD_INPUT
        )
    if isinstance(error, ModuleNotFoundError) and not _is_ours(error.name):
        message = f"package '{error.name}' is missing; edgecompress doctor says how to add it"
        return Failure(message, "RuntimeMissing", EXIT_DEVICE)
    fault = misfit(error)
    if fault is not None:
        what = f"{fault}: {type(error).__name__}: {error}; edgecompress doctor looks at all of them"
        return Failure(" ".join(what.split()), "RuntimeMissing", EXIT_DEVICE)
    return Failure(told_as_defect(error), "Defect", EXIT_DEFECT)


def tell(failure: Failure, as_json: bool) -> None:
    """The error line, and with --json the one document that takes the result's place."""
    with contextlib.suppress(BrokenPipeError):
        print(shown(f"error: {failure.message}"), file=sys.stderr, flush=True)
    if as_json:
        write(sys.stdout, json_text({"error": failure.document()}))


def after_result(error: EdgecompressError) -> typer.Exit:
    """Tell of a failure whose result is on stdout already, where nothing may follow it."""
    tell(failure_of(error), as_json=False)
    return typer.Exit(error.exit_code)


def debugging() -> bool:
    return os.environ.get("EDGECOMPRESS_DEBUG") == "1"


def _is_ours(module: str | None) -> bool:
    return (module or "edgecompress").partition(".")[0] == "edgecompress"
