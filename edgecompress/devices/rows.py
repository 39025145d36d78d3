"""What a board must have for a target, row by row: judged from what is known, asking nobody."""

from typing import Literal

from edgecompress.devices.needs import Problem, installed_runtime, runtime_problem
from edgecompress.measure.notes import is_emulated
from edgecompress.spec.base import Spec
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import DeviceState, Probe
from edgecompress.spec.target import Target
from edgecompress.vendor.vcgencmd import Throttled

MIB = 1 << 20
LEAST_DISK_BYTES, AMPLE_DISK_BYTES = 64 * MIB, 1024 * MIB
LEAST_MEMORY_BYTES, AMPLE_MEMORY_BYTES = 64 * MIB, 256 * MIB
CLOCK_S = 60.0
"""A clock that is further off is wrong, not late: the answer came within less."""
OLDEST_PYTHON, NEWEST_PYTHON = (3, 8), (3, 13)
JETPACK = (
    "sudo apt install nvidia-jetpack on the board; a virtual environment sees it when it was made"
    " with --system-site-packages"
)


class Row(Spec):
    name: str
    state: Literal["ok", "warning", "missing"]
    """missing: the target cannot be measured there. warning: it can, and something is amiss."""
    text: str
    fix: str | None = None
    """The line that mends it; None where the text says it, or nothing does."""


class Checked(Spec):
    """One device, as it was found."""

    device: str
    target: str
    usable: bool
    rows: tuple[Row, ...]


def checked(device: Device, rows: list[Row]) -> Checked:
    usable = all(row.state != "missing" for row in rows)
    return Checked(device=device.id, target=device.target, usable=usable, rows=tuple(rows))


def ok(name: str, text: str) -> Row:
    return Row(name=name, state="ok", text=text)


def missing(name: str, text: str, fix: str | None = None) -> Row:
    return Row(name=name, state="missing", text=text, fix=fix)


def warning(name: str, text: str, fix: str | None = None) -> Row:
    return Row(name=name, state="warning", text=text, fix=fix)


def python_row(version: str, program: str) -> Row:
    """`version` as Python says it: '3.11.2', '3.14.0rc1'."""
    major, minor = (int(part) for part in version.split(".")[:2])
    text = f"{version}, {program}"
    if (major, minor) < OLDEST_PYTHON:
        fix = "install Python 3.8 to 3.13 there and name it with python: in the inventory"
        return missing("python", f"{text}: the agent needs 3.8 or later", fix)
    if (major, minor) > NEWEST_PYTHON:
        return warning("python", f"{text}: later than 3.13, with which nothing was tried")
    return ok("python", text)


def board_rows(target: Target, device: Device, probe: Probe, behind_s: float) -> list[Row]:
    """All but what has to be tried out.

    Args:
        target: what the device shall run.
        device: as the inventory has it.
        probe: what the agent found.
        behind_s: how far the board's clock is behind this machine's.

    """
    emulated = device.emulated or is_emulated(probe)
    rows = [architecture_row(target, probe.machine, probe.python_bits)]
    rows += [] if emulated else _feature_rows(target, probe)
    rows += [
        ok("system", probe.system),
        _numpy_row(device, probe),
        *_runtime_rows(target, device, probe),
    ]
    rows += size_rows(probe.free_disk_bytes, probe.available_memory_bytes)
    rows += [clock_row(behind_s), *_state_rows(probe.state)]
    if emulated:
        rows.append(
            warning("emulated", "its speed says nothing about a board, and decides nothing")
        )
    return rows


def architecture_row(target: Target, machine: str, bits: int | None) -> Row:
    wanted = machine if target.cpu == "native" else target.cpu.architecture
    if machine != wanted:
        fix = "take a target of that architecture: edgecompress targets list"
        return missing("architecture", f"{machine}, where {target.name} is {wanted}", fix)
    if bits == 32 and wanted in ("aarch64", "x86_64"):
        fix = "install the 64-bit edition of the board's system"
        return missing("architecture", f"{machine} with a Python of 32 bits", fix)
    return ok("architecture", machine)


def size_rows(disk_bytes: int | None, memory_bytes: int | None) -> list[Row]:
    return [
        _size_row("disk", disk_bytes, LEAST_DISK_BYTES, AMPLE_DISK_BYTES, "remove files there"),
        _size_row(
            "memory", memory_bytes, LEAST_MEMORY_BYTES, AMPLE_MEMORY_BYTES, "end programs there"
        ),
    ]


def clock_row(behind_s: float) -> Row:
    if abs(behind_s) <= CLOCK_S:
        return ok("clock", "right")
    way = "behind" if behind_s > 0 else "ahead of"
    text = f"{_duration(abs(behind_s))} {way} this machine's: certificates and histories go wrong"
    return warning("clock", text, "sudo timedatectl set-ntp true")


def governor_row(governor: str | None) -> Row:
    if governor in (None, "performance"):
        return ok("governor", governor or "the system does not say")
    fix = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return warning("governor", f"{governor}: latencies vary with the clock", fix)


def pip_line(device: Device) -> str:
    """How to call pip for the device's interpreter; systems' own Pythons refuse it these days."""
    python = device.interpreter
    if python.startswith("/usr/bin/") or "/" not in python:
        venv = "~/edgecompress-venv"
        return (
            f"{python} -m venv {venv}, name {venv}/bin/python (in full) with python: in the"
            f" inventory, and {venv}/bin/python -m pip"
        )
    return f"{python} -m pip"


def _feature_rows(target: Target, probe: Probe) -> list[Row]:
    if target.cpu == "native" or not probe.cpu_features:
        return []
    lacking = [name for name in target.cpu.features if name not in probe.cpu_features]
    if not lacking:
        return [ok("cpu", probe.cpu_model or "has what the target counts on")]
    text = f"{probe.cpu_model or probe.machine} lacks {', '.join(lacking)}: int8 gains less"
    return [warning("cpu", text, "choose a target without it: edgecompress targets list")]


def _numpy_row(device: Device, probe: Probe) -> Row:
    if "numpy" in probe.versions:
        return ok("numpy", probe.versions["numpy"])
    return missing("numpy", "numpy is missing", f"{pip_line(device)} install numpy")


def _runtime_rows(target: Target, device: Device, probe: Probe) -> list[Row]:
    problem = runtime_problem(target, probe.versions, pip_line(device))
    if problem is None:
        package = installed_runtime(target, probe.versions)
        rows = [ok("runtime", f"{package} {probe.versions[str(package)]}")]
    elif target.runtime.name == "tensorrt":
        rows = [_tensorrt_row(target, probe, problem)]
    else:
        rows = [missing("runtime", problem.text, problem.fix)]
    if target.runtime.name == "tensorrt":
        rows.append(_trtexec_row(probe))
    return rows


def _tensorrt_row(target: Target, probe: Probe, problem: Problem) -> Row:
    if "tensorrt" in probe.versions:
        fix = f"install the JetPack that has TensorRT {target.runtime.version.removeprefix('==')}"
        return missing("runtime", problem.text, fix)
    return missing("runtime", "this Python has no tensorrt", JETPACK)


def _trtexec_row(probe: Probe) -> Row:
    if probe.trtexec is not None:
        return ok("trtexec", probe.trtexec)
    return warning("trtexec", "not there; Python's tensorrt builds engines without it", JETPACK)


def _size_row(name: str, size: int | None, least: int, ample: int, advice: str) -> Row:
    if size is None:
        return ok(name, "the system does not say")
    text = f"{size / MIB:,.0f} MiB free"
    if size < least:
        return missing(name, f"{text}, at least {least / MIB:.0f} are needed", advice)
    if size < ample:
        return warning(name, f"{text}, which is little", advice)
    return ok(name, text)


def _state_rows(state: DeviceState | None) -> list[Row]:
    if state is None:
        return []
    rows = [governor_row(state.governor)]
    if state.throttled is not None:
        rows.append(_power_row(Throttled(bits=int(state.throttled, 16))))
    return rows


def _power_row(flags: Throttled) -> Row:
    words = [*flags.now, *(f"{word} since boot" for word in flags.since_boot)]
    if not words:
        return ok("power", "never throttled since boot")
    fix = "use the board's own power supply and cool it, then start it again"
    return warning("power", ", ".join(words), fix)


def _duration(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:.0f} days" if days >= 2 else f"{seconds:.0f} s"
