"""TensorRT on the GPU, from an engine that `build` made here.

Copies go through pinned memory on one stream; CUDA events round the inference alone give the time
without copies.
"""

from __future__ import annotations

import ctypes
import math
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np

from .accelerator import AcceleratorRunner
from .builders import JETPACK
from .counts import Counts
from .cuda import Cuda
from .engines import check_loadable
from .failure import Failure
from .files import whole
from .runner import Arena, Tensor

try:
    import tensorrt as trt

    from .tensorrt_io import EngineIo, IoTensor
    from .tensorrt_layers import LayerTimes
    from .tensorrt_log import Log
    from .tensorrt_open import open_io
except ImportError as error:
    raise Failure("missing", f"TensorRT for Python is missing: {error}; {JETPACK}") from None


class Buffer(NamedTuple):
    tensor: IoTensor
    array: np.ndarray
    """In pinned memory."""
    host: int
    """Its address."""
    device: int
    """Address of as much on the GPU."""


class Session:
    """An engine, ready to run, and what it holds of the GPU until closed."""

    def __init__(self, model: str) -> None:
        """Raises Failure when the engine is stale, or TensorRT or CUDA refuses."""
        self._cuda = Cuda()
        self.gpu = self._cuda.gpu()
        check_loadable(model, trt.__version__, self.gpu)
        self._log = Log()
        # In this order, and kept: an engine must not outlive its runtime.
        self._runtime = trt.Runtime(self._log)
        self.engine = self._runtime.deserialize_cuda_engine(Path(model).read_bytes())
        if self.engine is None:
            raise self._failure(f"{model}: the engine cannot be loaded")
        self._context = self.engine.create_execution_context()
        if self._context is None:
            raise self._failure(f"{model}: the GPU has no room for the engine")
        self._io: EngineIo = open_io(self.engine, self._context)
        self._held = ExitStack()
        self._stream = self._cuda.stream()
        self._held.callback(self._cuda.destroy_stream, self._stream)
        self._started, self._ended = self._event(), self._event()
        self._buffers = [self._buffer(tensor) for tensor in self._io.tensors]
        self._io.bind([buffer.device for buffer in self._buffers])

    def count(self, layers: LayerTimes) -> None:
        """From now on every inference waits for the times of its layers."""
        self._context.profiler = layers

    def inputs(self) -> list[Tensor]:
        return [Tensor(t.name, t.dtype, t.shape) for t in self._io.tensors if t.is_input]

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Copy there, compute, copy back, wait; outputs are arrays of their own."""
        cuda, stream = self._cuda, self._stream
        outputs = [buffer for buffer in self._buffers if not buffer.tensor.is_input]
        for buffer in self._buffers:
            if buffer.tensor.is_input:
                np.copyto(buffer.array, feed[buffer.tensor.name])
                cuda.to_device(buffer.device, buffer.host, buffer.array.nbytes, stream)
        cuda.record(self._started, stream)
        if not self._io.enqueue(stream):
            raise self._failure("the inference was refused")
        cuda.record(self._ended, stream)
        for buffer in outputs:
            cuda.to_host(buffer.host, buffer.device, buffer.array.nbytes, stream)
        cuda.wait(stream)
        return {buffer.tensor.name: buffer.array.copy() for buffer in outputs}

    def compute_ms(self) -> float:
        return self._cuda.elapsed_ms(self._started, self._ended)

    def close(self) -> None:
        """What is on the GPU goes in the reverse order of its coming."""
        self._held.close()
        del self._context, self.engine, self._runtime

    def _event(self) -> int:
        event = self._cuda.event()
        self._held.callback(self._cuda.destroy_event, event)
        return event

    def _buffer(self, tensor: IoTensor) -> Buffer:
        dtype = np.dtype(tensor.dtype)
        used = math.prod(tensor.shape) * dtype.itemsize
        # CUDA gives no address for nothing.
        size = max(1, used)
        device, host = self._cuda.malloc(size), self._cuda.malloc_host(size)
        self._held.callback(self._cuda.free, device)
        self._held.callback(self._cuda.free_host, host)
        memory = memoryview((ctypes.c_byte * size).from_address(host))
        array = np.frombuffer(memory, np.uint8)[:used].view(dtype).reshape(tensor.shape)
        return Buffer(tensor, array, host, device)

    def _failure(self, what: str) -> Failure:
        return Failure("runtime", f"TensorRT {trt.__version__}: {what}: {self._log.why()}")

    def device_bytes(self) -> int:
        """What its context holds of the GPU for activations."""
        # The older name is gone in TensorRT 11, the newer came with 10.1.
        names = ("device_memory_size_v2", "device_memory_size")
        name = next(name for name in names if hasattr(self.engine, name))
        return int(getattr(self.engine, name))


class TensorRtRunner(AcceleratorRunner):
    uncounted = None
    _session: Session | None = None
    _layers: LayerTimes
    _counts: Counts

    def versions(self) -> dict[str, str]:
        return {"tensorrt": trt.__version__, "numpy": np.__version__}

    def deactivate(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def compute_ms(self) -> float:
        return self._opened().compute_ms()

    def note_counts(self) -> None:
        self._counts.add(self._layers.taken())

    def counted(self) -> Counts:
        return self._counts

    def set_up(self) -> object | None:
        cuda = Cuda()
        # Makes the context, which takes more of the host's memory than most engines.
        cuda.destroy_stream(cuda.stream())
        return cuda

    def arena(self, feeds: Sequence[dict[str, np.ndarray]]) -> Arena | None:
        return Arena("TensorRT's memory of the GPU for activations", self._opened().device_bytes())

    def _activate(self) -> Sequence[Tensor]:
        if self.kernels != "default":
            raise Failure("input", "an engine has the kernels it was built with and no others")
        self._session = Session(self.model)
        if self.counting:
            self._layers, self._counts = LayerTimes(), Counts()
            self._session.count(self._layers)
        return self._session.inputs()

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._opened().run(feed)

    def _optimised_graph(self, output: str) -> None:
        """JSON: every layer of the engine, as TensorRT's inspector tells them."""
        session = Session(self.model)
        inspector = session.engine.create_engine_inspector()
        text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        with whole(output) as part:
            Path(part).write_text(text)
        session.close()

    def _opened(self) -> Session:
        if self._session is None:
            raise Failure("runtime", "infer before activate")
        return self._session
