"""Runner: load a model file, run it, let it go. One implementation per runtime."""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple, Sequence, cast

from .failure import Failure

if TYPE_CHECKING:
    import numpy as np

    from .request import Request


KERNELS = ("default", "reference")
"""Those that the runtime chooses, or the plain ones that it defines its operators by."""


class Tensor(NamedTuple):
    name: str
    dtype: str
    """As numpy spells it."""
    shape: tuple[int | str | None, ...]
    """Only an integer is fixed."""


class Runner(ABC):
    """Public methods check, private ones work; every failure is a Failure."""

    inputs: Sequence[Tensor] = ()
    """Known once activated."""
    kernels = "default"
    """One of KERNELS, set before `activate`."""

    def __init__(self, model: str, threads: int) -> None:
        self.model = model
        self.threads = threads

    def activate(self) -> None:
        """Load the model; this is what `init_time_ms` times."""
        self._find()
        self.inputs = self._activate()

    def infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, in the file's order."""
        return self.checked(feed)()

    def checked(self, feed: dict[str, np.ndarray]) -> Callable[[], dict[str, np.ndarray]]:
        """Check names, dtypes and shapes once; the result runs without checks, to be timed."""
        expected = {tensor.name: tensor for tensor in self.inputs}
        if set(feed) != set(expected):
            given, known = ", ".join(sorted(feed)), ", ".join(sorted(expected))
            raise Failure("input", f"inputs given: {given or 'none'}; the model takes: {known}")
        for name, array in feed.items():
            _check(expected[name], array)
        return functools.partial(self._infer, feed)

    def optimised_graph(self, output: str) -> None:
        """Write the graph that the runtime will really execute to `output`."""
        self._find()
        self._optimised_graph(output)

    def notes(self) -> list[str]:
        """What the runtime does otherwise than one would expect; known once activated."""
        return []

    def _find(self) -> None:
        if not Path(self.model).is_file():
            raise Failure("input", f"{self.model}: no such file")

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The runtime's first, then of what it builds on."""

    @abstractmethod
    def deactivate(self) -> None:
        """Let the model go; safe to call twice."""

    @abstractmethod
    def _activate(self) -> Sequence[Tensor]: ...

    @abstractmethod
    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def _optimised_graph(self, output: str) -> None: ...


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
    row = _row(request)
    module = importlib.import_module(".runner_" + request.text("runtime"), __package__)
    make = cast("type[Runner]", getattr(module, row.name))
    return make(request.text("model"), threads)


def packages(request: Request) -> str:
    """What pip installs for the request's runtime."""
    row = _row(request)
    return " ".join(("numpy", row.packages[0], *row.also) if row.from_pip else ("numpy",))


def _row(request: Request) -> Row:
    name = request.text("runtime")
    if name not in RUNNERS:
        raise Failure("input", f"runtime '{name}' is unknown; known: {', '.join(sorted(RUNNERS))}")
    return RUNNERS[name]


def _check(expected: Tensor, array: np.ndarray) -> None:
    if array.dtype.name != expected.dtype:
        raise Failure(
            "input",
            f"input '{expected.name}' takes {expected.dtype}, got {array.dtype.name}",
        )
    fits = len(array.shape) == len(expected.shape) and all(
        not isinstance(want, int) or want == have for want, have in zip(expected.shape, array.shape)
    )
    if not fits:
        raise Failure(
            "input",
            f"input '{expected.name}' takes shape {list(expected.shape)}, got {list(array.shape)}",
        )
