"""OpenVINO, on any of its devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
import openvino as ov

from .failure import Failure
from .files import whole
from .openvino_counters import Counters
from .openvino_device import DTYPES, Chosen, choose
from .openvino_inside import FUSED, add_inside
from .runner import Runner, Tensor
from .trivial import RELU_ONNX

if TYPE_CHECKING:
    from .counts import Counts

MAX_NODES = 4_000
"""The host reads no more lists."""
GRAPH_SCHEMA_VERSION = 3
TIMED_INFERENCES = 5
NAME = f"openvino {ov.__version__.split('-')[0]}"


class OpenVinoRunner(Runner):
    """Free dimensions stay free: OpenVINO's reshape() would fix them, and leaves convolutions in
    float that are int8 otherwise (seen in 2026.4).
    """

    option_names = ("device", "float_dtype")
    uncounted = None
    _core: Any = None
    """Made already, where the runtime was set up."""
    _request: Any = None
    _outputs: Sequence[str] = ()
    _counters: Counters

    @classmethod
    def check(cls, options: Mapping[str, str]) -> None:
        super().check(options)
        choose(ov.Core(), options)

    def versions(self) -> dict[str, str]:
        return {"openvino": NAME.partition(" ")[2], "numpy": np.__version__}

    def deactivate(self) -> None:
        self._request = None

    def set_up(self) -> object | None:
        # One core, because each loads the plugins of devices anew.
        self._core = ov.Core()
        model = self._core.read_model(RELU_ONNX)
        compiled = self._compiled(self._core, model, timed=False)
        compiled.create_infer_request().infer({0: np.zeros(1, np.float32)})
        # Its threads are every model's, for as long as there is one.
        kept: object = compiled
        return kept

    def note_counts(self) -> None:
        self._counters.note(self._request)

    def counted(self) -> Counts:
        return self._counters.counts()

    def _activate(self) -> Sequence[Tensor]:
        self._counters = Counters()
        compiled = self._compile(timed=self.counting)
        self._request = compiled.create_infer_request()
        self._outputs = _names(compiled.outputs)
        ports = compiled.inputs
        return [_tensor(name, port) for name, port in zip(_names(ports), ports)]

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = self._request
        if request is None:
            raise Failure("runtime", "infer before activate")
        try:
            for index, tensor in enumerate(self.inputs):
                array = np.ascontiguousarray(feed[tensor.name])
                request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
            # In this thread: to hand a small model to another takes longer than to run it.
            request.infer(share_outputs=True)
            # The request writes over its outputs the next time.
            taken = np.array if self.copies_outputs else np.asarray
            return {
                name: taken(request.get_output_tensor(index).data)
                for index, name in enumerate(self._outputs)
            }
        except Exception as error:
            raise Failure("runtime", f"{NAME}: {error}") from None

    def _optimised_graph(self, output: str) -> None:
        compiled = self._compile(timed=True)
        try:
            nodes = _nodes(compiled, _times_us(compiled))
            if any(node["type"] == FUSED for node in nodes):
                add_inside(nodes, _nodes(self._compile(timed=False, fused=False), {}))
        except Failure:
            raise
        except Exception as error:
            raise Failure("runtime", f"{NAME} tells no graph: {_reason(error)}") from None
        document = {
            "schema_version": GRAPH_SCHEMA_VERSION,
            "device": ", ".join(compiled.get_property("EXECUTION_DEVICES")),
            "float_type": _float_type(compiled),
            "nodes": nodes,
        }
        with whole(output) as part:
            Path(part).write_text(json.dumps(document))

    def _compile(self, timed: bool, fused: bool = True) -> Any:
        core = ov.Core() if self._core is None else self._core
        try:
            model = core.read_model(self.model)
        except Exception as error:
            raise Failure("input", f"{NAME}: {_reason(error)}") from None
        return self._compiled(core, model, timed, fused)

    def _compiled(self, core: Any, model: Any, timed: bool, fused: bool = True) -> Any:
        # The definition of operators is the CPU's in float32, whatever the target wants.
        chosen = choose(core, {} if self.kernels == "reference" else self.options)
        properties = self._properties(core, chosen, timed)
        if not fused:
            properties["SNIPPETS_MODE"] = "DISABLE"
        try:
            compiled = core.compile_model(model, chosen.device, properties)
        except Exception as error:
            raise Failure("runtime", f"{NAME}: {_reason(error)}") from None
        if _float_type(compiled) != chosen.hint:
            raise Failure(
                "runtime",
                f"{NAME} computes in {_float_type(compiled)} on {chosen.device}, where"
                f" {chosen.hint} was asked; set float_dtype of the target to that",
            )
        return compiled

    def _properties(self, core: Any, chosen: Chosen, timed: bool) -> dict[str, Any]:
        wanted = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self.threads),
            # Left alone, OpenVINO computes in less what the file says in float32.
            "INFERENCE_PRECISION_HINT": chosen.hint,
            # With VNNI, OpenVINO rounds float activations before int8 weights to int8 by default,
            # 32 at a time, and tells neither type nor scale. What the file has in float stays so.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            # Which core is free is the system's to know, as with the other runtimes.
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": timed,
        }
        # A GPU has no threads, and each device its own list.
        supported = core.get_property(chosen.device, "SUPPORTED_PROPERTIES")
        properties = {name: value for name, value in wanted.items() if name in supported}
        if self.kernels == "reference":
            # Q and DQ stay where they are, round float operators, as ONNX defines them.
            properties["LP_TRANSFORMS_MODE"] = False
        return properties


def _float_type(compiled: Any) -> str:
    """What float operators compute in: f32, bf16 or f16."""
    found = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return next((hint for hint, _ in DTYPES.values() if hint == found), found)


def _tensor(name: str, port: Any) -> Tensor:
    return Tensor(name, np.dtype(port.get_element_type().to_dtype()).name, _shape(port))


def _shape(port: Any) -> tuple[int | None, ...]:
    return tuple(dim.get_length() if dim.is_static else None for dim in port.get_partial_shape())


def _names(ports: Sequence[Any]) -> list[str]:
    """One name for each; a tensor that is several outputs has the names of them all."""
    names: list[str] = []
    for index, port in enumerate(ports):
        free = [name for name in sorted(port.get_names()) if name not in names]
        names.append(free[0] if free else f"output_{index}")
    return names


def _times_us(compiled: Any) -> dict[str, float]:
    """Time by node, of a few inferences of zeros after the first, free dimensions being 1."""
    request = compiled.create_infer_request()
    for index, port in enumerate(compiled.inputs):
        shape = [size if size is not None else 1 for size in _shape(port)]
        zeros = np.zeros(shape, port.get_element_type().to_dtype())
        request.set_input_tensor(index, ov.Tensor(zeros))
    counters = Counters()
    for _ in range(TIMED_INFERENCES):
        request.infer()
        counters.note(request)
    return {name: time_us for (name, _), time_us in counters.mean_us(skip=1).items()}


def _nodes(compiled: Any, times_us: dict[str, float]) -> list[dict[str, Any]]:
    """The graph that runs, in order of execution, without constants and what follows from them,
    which is computed when a model is compiled. Inputs are places in this list.
    """
    places: dict[int, int] = {}
    names: set[str] = set()
    nodes: list[dict[str, Any]] = []
    for operator in compiled.get_runtime_model().get_ordered_ops():
        told = {key: str(value.astype(str)) for key, value in operator.get_rt_info().items()}
        sources = (port.get_source_output().get_node() for port in operator.inputs())
        read = (source.get_instance_id() for source in sources)
        inputs = [places[each] for each in read if each in places]
        kind = told.get("layerType", "")
        if not inputs and kind != "Input":
            continue
        if len(nodes) == MAX_NODES:
            raise Failure("input", f"{NAME} runs more than {MAX_NODES} primitives, which are told")
        name = told_name = str(operator.get_friendly_name())
        while name in names:
            name += "'"
        names.add(name)
        places[operator.get_instance_id()] = len(nodes)
        nodes.append(
            {
                "name": name,
                "type": kind,
                "precision": told.get("runtimePrecision", ""),
                "outputs": told.get("outputPrecisions", ""),
                "origins": told.get("originalLayersNames", ""),
                "inputs": inputs,
                "inside": [],
                "time_us": times_us.get(told_name),
            }
        )
    return nodes


def _reason(error: BaseException) -> str:
    """What it says of the file, without the places in OpenVINO's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return " ".join(told or lines)[:500]
