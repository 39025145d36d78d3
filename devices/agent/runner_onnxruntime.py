"""ONNX Runtime on the CPU."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np
import onnxruntime as ort

from .failure import Failure
from .files import whole
from .onnxruntime_trace import Trace, read_trace
from .runner import Arena, Runner, Tensor
from .trivial import RELU_ONNX

if TYPE_CHECKING:
    from .counts import Counts

PROVIDERS = ["CPUExecutionProvider"]
LOG_ERRORS_ONLY = 3
DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{
        f"tensor({sign}int{bits})": f"{sign}int{bits}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
ARENA = "ONNX Runtime's arena for tensors, weights among them"
PLANNED_AFTER = 3
"""Inferences; it plans in the first, and takes what it planned in the second."""
UNREADABLE = {"InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NoModel"}
"""Its exceptions that mean that the file, not the runtime, is wrong."""


class OnnxRuntimeRunner(Runner):
    uncounted = None
    _session: ort.InferenceSession | None = None
    _outputs: Sequence[str] = ()
    _traces: tempfile.TemporaryDirectory[str]
    """Where it writes what it counts."""

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": ort.__version__, "numpy": np.__version__}

    def deactivate(self) -> None:
        self._session = None

    def counted(self) -> Counts:
        return self.traced().counts

    def traced(self) -> Trace:
        """What it told while it was counting, which ends."""
        if self._session is None:
            raise Failure("runtime", "counted before activate")
        with self._traces:
            return read_trace(self._session.end_profiling())

    def set_up(self) -> object | None:
        options = _options(self.threads, self.kernels)
        session = ort.InferenceSession(RELU_ONNX, options, providers=PROVIDERS)
        session.run(None, {"x": np.zeros(1, np.float32)})
        kept: object = session
        return kept

    def arena(self, feeds: Sequence[dict[str, np.ndarray]]) -> Arena | None:
        counting = OnnxRuntimeRunner(self.model, self.threads, self.options)
        counting.counting = True
        counting.activate()
        calls = counting.cycled(feeds)
        for _ in range(PLANNED_AFTER):
            next(calls)()
        trace = counting.traced()
        held, used = trace.arena_bytes, trace.arena_used_bytes
        return None if held is None else Arena(ARENA, held, used)

    def _activate(self) -> Sequence[Tensor]:
        options = _options(self.threads, self.kernels)
        if self.counting:
            options.enable_profiling = True
            self._traces = tempfile.TemporaryDirectory()
            options.profile_file_prefix = str(Path(self._traces.name) / "trace")
        self._session = self._open(options)
        self._outputs = [output.name for output in self._session.get_outputs()]
        return [
            Tensor(tensor.name, DTYPES.get(tensor.type, tensor.type), tuple(tensor.shape))
            for tensor in self._session.get_inputs()
        ]

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._session is None:
            raise Failure("runtime", "infer before activate")
        try:
            return dict(zip(self._outputs, self._session.run(None, feed)))
        except Exception as error:
            raise Failure("runtime", f"onnxruntime {ort.__version__}: {error}") from None

    def _timed(self, feed: dict[str, np.ndarray]) -> Callable[[], object]:
        if self._session is None:
            raise Failure("runtime", "infer before activate")
        return functools.partial(self._session.run, None, feed)

    def _optimised_graph(self, output: str) -> None:
        options = _options(self.threads, self.kernels)
        with whole(output) as part:
            options.optimized_model_filepath = part
            self._open(options)

    def _open(self, options: ort.SessionOptions) -> ort.InferenceSession:
        try:
            return ort.InferenceSession(self.model, options, providers=PROVIDERS)
        except Exception as error:
            kind = "input" if type(error).__name__ in UNREADABLE else "runtime"
            raise Failure(kind, f"onnxruntime {ort.__version__}: {error}") from None


def _options(threads: int, kernels: str) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    levels = ort.GraphOptimizationLevel
    # Without fusions Q and DQ are computed as ONNX defines them, round float operators.
    reference = kernels == "reference"
    options.graph_optimization_level = (
        levels.ORT_DISABLE_ALL if reference else levels.ORT_ENABLE_ALL
    )
    options.log_severity_level = LOG_ERRORS_ONLY
    return options
