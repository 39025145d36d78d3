"""Whether what is installed loads: a package's version says nothing about its libraries."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgecompress.errors import SpecError, TimedOut
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.untrusted import NotJson, read_json
from edgecompress.transport import Transport

TIMEOUT_S = 180.0
LINE_BYTES = 64 << 10
ENDED = "the interpreter ended, or hung, while it was imported"
# Each is told as soon as it is known, because the next one may end the interpreter.
_SCRIPT = """\
import importlib, json, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        error = None
    except BaseException as raised:
        error = "{}: {}".format(type(raised).__name__, raised)
    print("\\n" + json.dumps({"module": name, "error": error}), flush=True)
    if name == "torch" and error is None and sys.modules[name].cuda.is_available():
        print(json.dumps({"cuda": sys.modules[name].cuda.get_device_name()}), flush=True)
"""


@dataclass(frozen=True)
class Imported:
    errors: dict[str, str]
    """Module to what went wrong, of those that did."""
    cuda: str | None
    """The GPU, where torch was among them and sees one."""


class _Told(Spec):
    """A line of the script."""

    module: str | None = None
    error: str | None = None
    cuda: str | None = None


def try_imports(transport: Transport, python: str, modules: Sequence[str]) -> Imported:
    """Import modules on a device, in a process of its own, which a broken one may take down.

    Raises DeviceError when the device cannot be reached.
    """
    lines: list[str] = []
    with contextlib.suppress(TimedOut):
        done = transport.run([python, "-c", _SCRIPT, *modules], timeout_s=TIMEOUT_S)
        lines = done.stdout.decode(errors="replace").splitlines()
    told = [found for found in map(_told, lines) if found is not None]
    errors = {
        one.module: one.error for one in told if one.module is not None and one.module in modules
    }
    unfinished = next((module for module in modules if module not in errors), None)
    if unfinished is not None:
        errors[unfinished] = ENDED
    return Imported(
        errors={name: " ".join(error.split()) for name, error in errors.items() if error},
        cuda=next((one.cuda for one in told if one.cuda is not None), None),
    )


def _told(line: str) -> _Told | None:
    """None for what a module prints of its own."""
    try:
        return parse(_Told, read_json(line.encode("utf-8", "replace"), LINE_BYTES), "import")
    except (NotJson, SpecError):
        return None
