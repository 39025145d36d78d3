"""Who runs which runtime's files: one row each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, cast

from .failure import Failure

if TYPE_CHECKING:
    from .request import Request
    from .runner import Runner


class Row(NamedTuple):
    name: str
    """The class, in the module `runner_<runtime>`."""
    packages: tuple[str, ...]
    """Any one of them runs its files, the best first."""
    from_pip: bool = True
    """Whether pip has them."""
    also: tuple[str, ...] = ()
    """What must be installed beside them, and does not come with them."""


RUNNERS = {
    "onnxruntime": Row("OnnxRuntimeRunner", ("onnxruntime", "onnxruntime-gpu")),
    "litert": Row("LiteRtRunner", ("ai-edge-litert", "tflite-runtime")),
    "executorch": Row("ExecuTorchRunner", ("executorch",), also=("torch",)),
    # JetPack brings TensorRT.
    "tensorrt": Row("TensorRtRunner", ("tensorrt",), from_pip=False),
    "openvino": Row("OpenVinoRunner", ("openvino",)),
}
"""From a runtime to the class that runs its files; imported late, because boards lack runtimes."""


def runner(request: Request, threads: int) -> Runner:
    """Who runs the request's `model` on its `runtime`, which is imported, and not yet active."""
    make, options = runner_class(request), options_of(request)
    make.check(options)
    return make(request.text("model"), threads, options)


def runner_class(request: Request) -> type[Runner]:
    """The class that runs files of the request's `runtime`, which is imported."""
    row = _row(request)
    module = importlib.import_module(".runner_" + request.text("runtime"), __package__)
    return cast("type[Runner]", getattr(module, row.name))


def options_of(request: Request) -> dict[str, str]:
    """What the target asks of the runtime beyond a file and threads."""
    return request.texts("options")


def packages(request: Request) -> str:
    """What pip installs for the request's runtime."""
    row = _row(request)
    return " ".join(("numpy", row.packages[0], *row.also) if row.from_pip else ("numpy",))


def _row(request: Request) -> Row:
    name = request.text("runtime")
    if name not in RUNNERS:
        raise Failure("input", f"runtime '{name}' is unknown; known: {', '.join(sorted(RUNNERS))}")
    return RUNNERS[name]
