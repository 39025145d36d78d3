"""Reads the request, runs the command, writes the answer."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Callable, cast

from . import SCHEMA_VERSION
from .baton import BESIDE, Baton
from .failure import Failure
from .request import Request
from .runners import packages

COMMANDS = (
    *("build", "check", "infer", "measure", "optimise"),
    *("probe", "profile", "sweep", "together", "usage"),
)
"""Each is the module of that name, with a function `run(request) -> result`."""


def main() -> None:
    answer_fd = _keep_stdout_clean()
    # numpy's BLAS threads do nothing here but disturb the measurement.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The request is one line: beside others, this process is told on the next ones when to run.
    answer = _answer(sys.stdin.buffer.readline(), answer_fd)
    with os.fdopen(answer_fd, "w", encoding="utf-8") as stdout:
        json.dump({"schema_version": SCHEMA_VERSION, **answer}, stdout, allow_nan=False)
    sys.exit(0 if answer["ok"] else 1)


def _keep_stdout_clean() -> int:
    """Point descriptor 1 at stderr, since runtimes print natively; returns the real stdout."""
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    return answer_fd


def _answer(text: bytes, answer_fd: int) -> dict[str, object]:
    try:
        request = Request(text)
        if request.has(BESIDE):
            request.baton = Baton(sys.stdin.buffer, answer_fd)
        return {"ok": True, "result": _run(request)}
    except Failure as failure:
        return _error(failure)
    except MemoryError:
        return _error(Failure("runtime", "out of memory"))
    except Exception as error:
        # Whatever breaks, the host gets one JSON document that says what.
        return _error(Failure("runtime", f"{type(error).__name__}: {error}"))


def _error(failure: Failure) -> dict[str, object]:
    return {"ok": False, "error": {"kind": failure.kind, "message": str(failure)}}


def _run(request: Request) -> dict[str, object]:
    name = request.text("command")
    if name not in COMMANDS:
        raise Failure("input", f"command '{name}' is unknown; known: {', '.join(COMMANDS)}")
    try:
        module = importlib.import_module("." + name, __package__)
        command = cast("Callable[[Request], dict[str, object]]", module.run)
        return command(request)
    except ImportError as error:
        pip = f"{sys.executable} -m pip install {packages(request)}"
        raise Failure("missing", f"{error}; run: {pip}") from None


if __name__ == "__main__":
    main()
