"""LiteRT on the CPU: ai-edge-litert, or tflite-runtime where the board's Python is too old for it.

Both are one runtime with one Python interface. Each applies XNNPACK by itself; where that fails, or
was built without int8 as in tflite-runtime, it goes on with kernels of its own and says nothing.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any, Sequence

import numpy as np

from .failure import Failure
from .runner import Runner, Tensor

PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
"""From what pip installs to what is imported, the best first."""
DELEGATE = "DELEGATE"
"""The name, among the model's operators, of a part that a delegate took over."""
NOT_DELEGATED = "XNNPACK runs no operator of the model: the runtime's own kernels do"
READS_AS_IT_IS = "LiteRT runs a TFLite file as it is: inspect the file itself"


def _import() -> tuple[str, Any]:
    """The package found, and its module; untyped, because boards have either or neither."""
    problems = []
    for package, module in PACKAGES.items():
        try:
            return package, importlib.import_module(module + ".interpreter")
        except ImportError as error:
            problems.append(str(error))
    raise ImportError("; ".join(problems))


PACKAGE, litert = _import()
NAME = f"{PACKAGE} {version(PACKAGE)}"


class LiteRtRunner(Runner):
    uncounted = f"{NAME}: its Python package has no profiler"
    _interpreter: Any = None
    _indices: dict[str, int] = {}
    """Those of the inputs."""
    _outputs: dict[str, int] = {}
    _shapes: dict[str, tuple[int, ...]] = {}
    """That memory is allocated for now."""

    def versions(self) -> dict[str, str]:
        return {PACKAGE: version(PACKAGE), "numpy": np.__version__}

    def deactivate(self) -> None:
        self._interpreter = None

    def _activate(self) -> Sequence[Tensor]:
        self._interpreter = self._open()
        inputs, outputs = self._details()
        self._indices = {name: detail["index"] for name, detail in inputs.items()}
        self._outputs = {name: detail["index"] for name, detail in outputs.items()}
        self._shapes = {name: tuple(detail["shape"]) for name, detail in inputs.items()}
        self._allocate()
        return [_tensor(name, detail) for name, detail in inputs.items()]

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        interpreter = self._interpreter
        if interpreter is None:
            raise Failure("runtime", "infer before activate")
        try:
            self._resize(feed)
            for name, array in feed.items():
                interpreter.set_tensor(self._indices[name], array)
            interpreter.invoke()
            if not self.copies_outputs:
                return {name: interpreter.tensor(at)() for name, at in self._outputs.items()}
            return {name: interpreter.get_tensor(at) for name, at in self._outputs.items()}
        except (RuntimeError, ValueError) as error:
            raise Failure("runtime", f"{NAME}: {error}") from None

    def notes(self) -> list[str]:
        if self.kernels == "reference" or self._interpreter is None:
            return []
        # Private, and the only place where the interpreter tells.
        operators = {detail["op_name"] for detail in self._interpreter._get_ops_details()}
        return [] if DELEGATE in operators else [f"{NAME}: {NOT_DELEGATED}"]

    def _optimised_graph(self, output: str) -> None:
        raise Failure("input", READS_AS_IT_IS)

    def _open(self) -> Any:
        resolvers = {
            "default": litert.OpResolverType.AUTO,
            "reference": litert.OpResolverType.BUILTIN_REF,
        }
        try:
            return litert.Interpreter(
                model_path=self.model,
                num_threads=self.threads,
                experimental_op_resolver_type=resolvers[self.kernels],
            )
        except (RuntimeError, ValueError) as error:
            raise Failure("input", f"{NAME}: {error}") from None

    def _details(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Details of inputs and outputs, in the file's order: by their names in the signature, or
        by the tensors' own where there is none.
        """
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        keys = sorted(self._interpreter.get_signature_list())
        if len(keys) > 1:
            raise Failure("input", f"the file has {len(keys)} signatures ({keys}), not one")
        if not keys:
            return {d["name"]: d for d in inputs}, {d["name"]: d for d in outputs}
        signature = self._interpreter.get_signature_runner(keys[0])
        return (
            _by_name(signature.get_input_details(), inputs),
            _by_name(signature.get_output_details(), outputs),
        )

    def _resize(self, feed: dict[str, np.ndarray]) -> None:
        """Free dimensions take the size of what comes; LiteRT starts them all at 1."""
        other = {n: array.shape for n, array in feed.items() if array.shape != self._shapes[n]}
        for name, shape in other.items():
            self._interpreter.resize_tensor_input(self._indices[name], shape)
        if other:
            self._shapes.update(other)
            self._allocate()

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Failure("runtime", f"{NAME}: {error}") from None


def _by_name(named: dict[str, Any], ordered: Sequence[Any]) -> dict[str, Any]:
    """The signature's details, which it sorts by name, in the file's order."""
    order = [detail["index"] for detail in ordered]
    return dict(sorted(named.items(), key=lambda item: order.index(item[1]["index"])))


def _tensor(name: str, detail: Any) -> Tensor:
    signature = detail["shape_signature"]
    shape = tuple(None if size < 0 else int(size) for size in signature)
    return Tensor(name, np.dtype(detail["dtype"]).name, shape)
