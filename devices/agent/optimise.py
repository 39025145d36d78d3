"""`optimise`: the graph that the runtime executes on this CPU, as a file for the inspector."""

from __future__ import annotations

import platform

from .request import Request
from .runners import runner


def run(request: Request) -> dict[str, object]:
    model = runner(request, threads=1)
    model.optimised_graph(request.text("output"))
    name, version = next(iter(model.versions().items()))
    return {"runtime": f"{name} {version}", "machine": platform.machine()}
