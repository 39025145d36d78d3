"""OpenVINO on the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import numpy as np
import openvino as ov

from .failure import Failure
from .files import whole
from .runners import Runner, Tensor

DEVICE = "CPU"
MAX_COMPILED = 4
"""Shapes that a compiled model is kept for: a whole batch, what is left of one, a single sample."""
MAX_NODES = 200_000
MAX_NAME = 4096
GRAPH_SCHEMA_VERSION = 1
TIMED_INFERENCES = 5
NAME = f"openvino {ov.__version__.split('-')[0]}"

Shapes = "tuple[tuple[int, ...], ...]"


class Compiled(NamedTuple):
    model: Any
    request: Any
    outputs: Sequence[str]
    """By their order."""


class OpenVinoRunner(Runner):
    """Free dimensions are fixed to those of the samples before a model is compiled, because kernels
    for fixed shapes are faster; they are 1 until samples come.
    """

    _model: Any = None
    _compiled: dict[tuple[tuple[int, ...], ...], Compiled] = {}

    def versions(self) -> dict[str, str]:
        return {"openvino": NAME.partition(" ")[2], "numpy": np.__version__}

    def deactivate(self) -> None:
        self._model = None
        self._compiled = {}

    def _activate(self) -> Sequence[Tensor]:
        self._model = self._read()
        self._compiled = {}
        ports = self._model.inputs
        inputs = [_tensor(name, port) for name, port in zip(_names(ports), ports)]
        self._for(tuple(_fixed(tensor.shape) for tensor in inputs))
        return inputs

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._model is None:
            raise Failure("runtime", "infer before activate")
        arrays = [feed[tensor.name] for tensor in self.inputs]
        compiled = self._for(tuple(array.shape for array in arrays))
        request = compiled.request
        try:
            for index, array in enumerate(arrays):
                request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
            request.start_async()
            request.wait()
            # The request writes over its outputs the next time.
            return {
                name: np.array(request.get_output_tensor(index).data)
                for index, name in enumerate(compiled.outputs)
            }
        except Exception as error:
            raise Failure("runtime", f"{NAME}: {error}") from None

    def _optimised_graph(self, output: str) -> None:
        self._model = self._read()
        shapes = tuple(_fixed(_shape(port)) for port in self._model.inputs)
        compiled = self._compile(shapes, timed=True)
        document = {
            "schema_version": GRAPH_SCHEMA_VERSION,
            "nodes": _nodes(compiled.model, _times_us(compiled)),
        }
        with whole(output) as part:
            Path(part).write_text(json.dumps(document))

    def _read(self) -> Any:
        try:
            return ov.Core().read_model(self.model)
        except Exception as error:
            raise Failure("input", f"{NAME}: {_reason(error)}") from None

    def _for(self, shapes: tuple[tuple[int, ...], ...]) -> Compiled:
        """The model compiled for inputs of these shapes."""
        if shapes not in self._compiled:
            if len(self._compiled) >= MAX_COMPILED:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[shapes] = self._compile(shapes)
        return self._compiled[shapes]

    def _compile(self, shapes: tuple[tuple[int, ...], ...], timed: bool = False) -> Compiled:
        try:
            core, model = ov.Core(), self._model.clone()
            free = [port for port in model.inputs if not port.get_partial_shape().is_static]
            if free:
                fixed = {port: list(shape) for port, shape in zip(model.inputs, shapes)}
                model.reshape(fixed)
            compiled = core.compile_model(model, DEVICE, self._options(timed))
            return Compiled(compiled, compiled.create_infer_request(), _names(compiled.outputs))
        except Exception as error:
            raise Failure("runtime", f"{NAME}: {_reason(error)}") from None

    def _options(self, timed: bool) -> dict[str, Any]:
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self.threads),
            # Where the CPU has bfloat16, OpenVINO computes in it what the file says in float32.
            "INFERENCE_PRECISION_HINT": "f32",
            # Which core is free is the system's to know, as with the other runtimes.
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": timed,
        }
        if self.kernels == "reference":
            # Q and DQ stay where they are, round float operators, as ONNX defines them.
            options["LP_TRANSFORMS_MODE"] = False
        return options


def _tensor(name: str, port: Any) -> Tensor:
    return Tensor(name, np.dtype(port.get_element_type().to_dtype()).name, _shape(port))


def _shape(port: Any) -> tuple[int | None, ...]:
    return tuple(
        dim.get_length() if dim.is_static else None for dim in port.get_partial_shape()
    )


def _fixed(shape: Sequence[int | str | None]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else 1 for size in shape)


def _names(ports: Sequence[Any]) -> list[str]:
    """One name for each; a tensor that is several outputs has the names of them all."""
    names: list[str] = []
    for index, port in enumerate(ports):
        free = [name for name in sorted(port.get_names()) if name not in names]
        names.append(free[0] if free else f"output_{index}")
    return names


def _times_us(compiled: Compiled) -> dict[str, float]:
    """By node, the shortest of a few inferences of zeros."""
    request = compiled.request
    for index, port in enumerate(compiled.model.inputs):
        dtype = port.get_element_type().to_dtype()
        zeros = np.zeros([dim.get_length() for dim in port.get_partial_shape()], dtype)
        request.set_input_tensor(index, ov.Tensor(zeros, shared_memory=False))
    times: dict[str, float] = {}
    for _ in range(TIMED_INFERENCES):
        request.infer()
        for counter in request.get_profiling_info():
            taken = counter.real_time.total_seconds() * 1e6
            times[counter.node_name] = min(taken, times.get(counter.node_name, taken))
    return times


def _nodes(compiled: Any, times_us: dict[str, float]) -> list[dict[str, object]]:
    """The graph that runs, in order of execution; inputs are indices of nodes."""
    operators = compiled.get_runtime_model().get_ordered_ops()
    if len(operators) > MAX_NODES:
        raise Failure("input", f"{NAME} runs {len(operators)} operators; {MAX_NODES} are told")
    index = {operator.get_friendly_name(): at for at, operator in enumerate(operators)}
    nodes = []
    for operator in operators:
        told = {key: value.astype(str) for key, value in operator.get_rt_info().items()}
        name = operator.get_friendly_name()
        sources = (source.get_source_output().get_node() for source in operator.inputs())
        nodes.append({
            "name": name[:MAX_NAME],
            "type": told.get("layerType", ""),
            "precision": told.get("runtimePrecision", ""),
            "kernel": told.get("primitiveType", ""),
            "outputs": told.get("outputPrecisions", "").split(","),
            "origins": [part[:MAX_NAME] for part in told.get("originalLayersNames", "").split(",")],
            "inputs": [index[source.get_friendly_name()] for source in sources],
            "time_us": times_us.get(name),
        })
    return nodes


def _reason(error: BaseException) -> str:
    """What it says of the file, without the places in OpenVINO's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return " ".join(told or lines)[:500]
