"""Connects to a device and tells what is missing there, before anything is built for it."""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edgecompress.defect import told_as_defect
from edgecompress.devices.android import android_rows
from edgecompress.devices.imports import try_imports
from edgecompress.devices.rows import (
    Checked,
    board_rows,
    checked,
    package_rows,
    pip_line,
    python_row,
)
from edgecompress.errors import (
    AgentError,
    DeviceError,
    EdgecompressError,
    RuntimeMissing,
    SpecError,
)
from edgecompress.measure.agent import Agent
from edgecompress.progress import Progress
from edgecompress.runtimes import modules, runtime
from edgecompress.spec.device import Device
from edgecompress.spec.health import Row, missing, ok
from edgecompress.spec.measurement import Probe
from edgecompress.spec.target import Target
from edgecompress.together import Interrupted, Stop, together
from edgecompress.transport import Transport, connect
from edgecompress.transport.ssh_route import route_to

ANSWER_S = 30.0
"""For a command that does next to nothing."""
AGENT_S = 120.0
PYTHON_THERE = (
    "sudo apt install python3 python3-venv on the board, or name another Python with python: in the"
    " inventory"
)

_VERSION = re.compile(r"Python ([0-9]{1,3}\.[0-9]{1,3}\S{,20})")


def check_all(wanted: Sequence[tuple[Device, Target]], progress: Progress) -> list[Checked]:
    """Several devices at once, each with the target that it is for; in the order given.

    Raises SpecError when a device cannot be one of its kind, as `connect` says.
    """
    done = 0

    def one(asked: tuple[Device, Target], _: Stop) -> Checked | BaseException:
        nonlocal done
        found = check(*asked)
        done += 1
        progress.step(done, len(wanted), found.device)
        return found

    with progress.stage("check"):
        # Nothing is changed on a device, so that an interrupt may leave them at once.
        results = together(wanted, one, lambda _, error: error or Interrupted("interrupted"))
    found: list[Checked] = []
    for (device, target), result in zip(wanted, results.results, strict=True):
        if isinstance(result, SpecError):
            raise result
        if not isinstance(result, Checked):
            # An exception that nobody meant.
            result = checked(device, target, [missing("connection", told_as_defect(result))])
        found.append(result)
    return found


def check(device: Device, target: Target) -> Checked:
    """Whether the device can run what is made for the target; its failures are rows too.

    Raises SpecError as `connect` does.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="edgecompress-") as folder,
            connect(device, Path(folder)) as transport,
        ):
            return checked(device, target, rows_of(transport, device, target))
    except RuntimeMissing as error:
        # The way there needs something itself, and says how to get it: adb a program here, SSH a
        # Python there.
        name = "python" if device.transport == "ssh" else "connection"
        return checked(device, target, [missing(name, str(error))])
    except SpecError:
        raise
    except EdgecompressError as error:
        return checked(device, target, [missing("connection", str(error), _advice(device))])


def rows_of(transport: Transport, device: Device, target: Target) -> list[Row]:
    """One row after the other, until one is missing without which nothing more can be asked.

    Raises DeviceError when the device does not answer at all.
    """
    system = _said(transport, ["uname", "-sm"])
    first = ok("connection", f"{transport.name}: {system}")
    find: Callable[[Transport, Device, Target], list[Row]]
    find = android_rows if device.transport == "adb" else _linux_rows
    return [first, *find(transport, device, target)]


def _linux_rows(transport: Transport, device: Device, target: Target) -> list[Row]:
    python = _python_row(transport, device)
    if python.state == "missing":
        return [python]
    started_s = time.time()
    try:
        probe = Agent(transport, device.interpreter, AGENT_S).probe()
    except AgentError as error:
        return [python, missing("agent", str(error), "report it, with this output")]
    behind_s = 0.0 if probe.epoch_s is None else (started_s + time.time()) / 2 - probe.epoch_s
    return [
        python,
        *board_rows(target, device, probe, behind_s),
        *package_rows(target, device, probe),
        *_import_rows(transport, device, target, probe),
        *_option_rows(transport, device, target, probe),
    ]


def _python_row(transport: Transport, device: Device) -> Row:
    """The board's Python, asked before the agent, which can say nothing where there is none."""
    program = device.interpreter
    try:
        done = transport.run([program, "--version"], timeout_s=ANSWER_S)
        said = (done.stdout or done.stderr).decode(errors="replace").strip()
    except DeviceError as error:
        said = str(error)
    found = _VERSION.match(said)
    if found is not None:
        return python_row(found.group(1), program)
    text = f"no Python there: '{program} --version' said: {said or 'nothing'}"
    return missing("python", text, PYTHON_THERE)


def _import_rows(transport: Transport, device: Device, target: Target, probe: Probe) -> list[Row]:
    """Try numpy and the runtime, where they are installed at all."""
    names = ("numpy", runtime(target.runtime.name).installed(probe.versions))
    known = modules()
    packages = {known[name]: name for name in names if name in probe.versions}
    errors = try_imports(transport, device.interpreter, list(packages)).errors
    if packages and not errors:
        return [ok("import", f"{' and '.join(packages.values())} load")]
    return [
        missing(
            "import",
            f"{packages[module]} cannot be imported: {error}",
            f"{pip_line(device)} install --force-reinstall {packages[module]}",
        )
        for module, error in errors.items()
    ]


def _option_rows(transport: Transport, device: Device, target: Target, probe: Probe) -> list[Row]:
    """Whether the runtime has there what the target asks of it, where that is not what all have."""
    known = runtime(target.runtime.name)
    preparation = known.preparation(target, original=False)
    if not preparation.options or known.installed(probe.versions) is None:
        return []
    asked = ", ".join(f"{name}: {value}" for name, value in preparation.options.items())
    try:
        Agent(transport, device.interpreter, AGENT_S).check(preparation)
    except (AgentError, RuntimeMissing) as error:
        return [missing("options", str(error))]
    return [ok("options", asked)]


def _said(transport: Transport, argv: Sequence[str]) -> str:
    done = transport.run(argv, timeout_s=ANSWER_S)
    return done.stdout.decode(errors="replace").strip()


def _advice(device: Device) -> str | None:
    if device.transport == "adb":
        return "see what is connected with: adb devices"
    if device.transport == "local":
        return None
    return f"try it with: {route_to(device).command('ssh', 'true')}"
