"""ExecuTorch on the CPU, by the extension module that its wheel brings.

`executorch.runtime` would import all of ExecuTorch's exporter first, which takes 5 s on a desktop,
and adds nothing that is needed here. The file's constant methods say what its inputs and outputs
are called, because the format has no names.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

# First: it loads the libraries that the extension module is linked to.
import torch

from .etdump import read_etdump
from .failure import Failure
from .pte import planned_bytes
from .runner import Arena, Runner, Tensor

if TYPE_CHECKING:
    from .counts import Counts

library = importlib.import_module("executorch.extension.pybindings._C")
"""It has no types."""

PACKAGE = "executorch"
NAME = f"{PACKAGE} {version(PACKAGE)}"
METHOD = "forward"
PLANNED = "planned by the program; XNNPACK's own is not in it"
NAMES = {"input": "edgecompress.inputs", "output": "edgecompress.outputs"}
BACKEND = "XnnpackBackend"
READS_AS_IT_IS = "ExecuTorch runs a .pte file as it is: inspect the file itself"
NO_REFERENCE = "ExecuTorch has one set of kernels for a .pte file, and no reference ones"
SCALARS = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
"""ExecuTorch's numbers of types, as numpy spells them."""


class ExecuTorchRunner(Runner):
    uncounted = None
    _program: Any = None
    """The method refers to it."""
    _method: Any = None
    _outputs: Sequence[str] = ()

    def versions(self) -> dict[str, str]:
        return {
            PACKAGE: version(PACKAGE),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        }

    def deactivate(self) -> None:
        self._method = self._program = None

    def arena(self, feeds: Sequence[dict[str, np.ndarray]]) -> Arena | None:
        return Arena(PLANNED, planned_bytes(Path(self.model).read_bytes()))

    def counted(self) -> Counts:
        with tempfile.TemporaryDirectory() as folder:
            dump, debug = str(Path(folder) / "etdump"), str(Path(folder) / "debug")
            self._program.write_etdump_result_to_file(dump, debug)
            return read_etdump(dump)

    def _activate(self) -> Sequence[Tensor]:
        if self.kernels == "reference":
            raise Failure("input", NO_REFERENCE)
        if not library._is_available(BACKEND):
            raise Failure("runtime", f"{NAME}: was built without {BACKEND}")
        # Of the process; the library has no other way.
        library._unsafe_reset_threadpool(self.threads)
        try:
            self._program = library._load_program(
                self.model,
                enable_etdump=self.counting,
                program_verification=library.Verification.InternalConsistency,
            )
            if self.counting and not self._program.has_etdump():
                raise Failure("runtime", f"{NAME}: was built without its event tracer")
            self._method = self._program.load_method(METHOD)
            about = self._method.method_meta()
            inputs = [about.input_tensor_meta(at) for at in range(about.num_inputs())]
            self._outputs = self._names("output", about.num_outputs())
            names = self._names("input", len(inputs))
        except (RuntimeError, ValueError, IndexError) as error:
            raise Failure("input", f"{NAME}: {_told(error)}") from None
        return [_tensor(name, info) for name, info in zip(names, inputs)]

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._method is None:
            raise Failure("runtime", "infer before activate")
        given = [torch.from_numpy(np.ascontiguousarray(feed[each.name])) for each in self.inputs]
        try:
            results = self._method.call(given, self.copies_outputs)
        except RuntimeError as error:
            raise Failure("runtime", f"{NAME}: {_told(error)}") from None
        return {name: result.numpy() for name, result in zip(self._outputs, results)}

    def _optimised_graph(self, output: str) -> None:
        raise Failure("input", READS_AS_IT_IS)

    def _names(self, kind: str, count: int) -> list[str]:
        """As the file's note says; a file of others has input0, input1, .."""
        known = [self._program.get_method_name(at) for at in range(self._program.num_methods())]
        if NAMES[kind] not in known:
            return [f"{kind}{at}" for at in range(count)]
        (text,) = self._program.load_method(NAMES[kind]).call([])
        names = json.loads(text) if isinstance(text, str) else None
        if not isinstance(names, list) or len(set(map(str, names))) != count:
            raise Failure("input", f"the file's note '{NAMES[kind]}' does not name {count} {kind}s")
        return [str(name) for name in names]


def _told(error: Exception) -> str:
    """What it says, without the places in torch's sources that it comes from."""
    return str(error).partition("Exception raised from")[0].strip()


def _tensor(name: str, info: Any) -> Tensor:
    if info.dtype() not in SCALARS:
        raise Failure("input", f"{NAME}: input '{name}' has type {info.dtype()}, unknown here")
    return Tensor(name, SCALARS[info.dtype()], tuple(map(int, info.sizes())))
