"""What edgecompress knows of each runtime: a folder here, and a row in the table."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from edgecompress.errors import SpecError

if TYPE_CHECKING:
    from edgecompress.formats.base import Format
    from edgecompress.runtimes.base import Runtime
    from edgecompress.spec.runtime import RuntimeSection

RUNTIMES = {
    "onnxruntime": "OnnxRuntime",
    "litert": "Litert",
    "tensorrt": "TensorRt",
    "executorch": "ExecuTorch",
    "openvino": "OpenVino",
}
"""From a runtime's name, which is that of its folder, to the class in it. Where several read one
format, the first is whom a file is looked at for when no target is named.
"""


@cache
def runtime(name: str) -> "Runtime":
    """What is known of the runtime of that name.

    Raises:
        SpecError: there is none; the known ones are listed.

    """
    if name not in RUNTIMES:
        raise SpecError(f"runtime.name '{name}' is unknown; known: {', '.join(sorted(RUNTIMES))}")
    module = import_module(f"{__name__}.{name}")
    return cast("Runtime", getattr(module, RUNTIMES[name])())


def sections() -> tuple[type["RuntimeSection"], ...]:
    """The `runtime:` sections of all, for the union that a target's is one of."""
    return tuple(runtime(name).section for name in RUNTIMES)


def modules() -> dict[str, str]:
    """From what pip installs on a board to what the agent imports of it."""
    packages = (each for name in RUNTIMES for each in runtime(name).needs.packages)
    return {"numpy": "numpy", **{package.name: package.module for package in packages}}


def formats() -> dict[str, tuple["Format", "Runtime"]]:
    """Name -> a format that files come in, each with the first runtime that reads it."""
    found: dict[str, tuple[Format, Runtime]] = {}
    for known in map(runtime, RUNTIMES):
        found.setdefault(known.format.name, (known.format, known))
    return found
