"""`check`: whether a runtime can run files here as a target wants it; loads no file."""

from __future__ import annotations

from .request import Request
from .runners import options_of, runner_class


def run(request: Request) -> dict[str, object]:
    runner_class(request).check(options_of(request))
    return {}
