"""What a board must have for a target, row by row: judged from what is known, asking nobody."""

import re

from edgecompress.measure.notes import is_emulated
from edgecompress.measure.telemetry import UNTHROTTLED, flags
from edgecompress.runtimes import runtime
from edgecompress.spec.base import Spec
from edgecompress.spec.device import Device
from edgecompress.spec.health import Row, missing, ok, warning
from edgecompress.spec.measurement import Probe
from edgecompress.spec.target import Target

MIB = 1 << 20
LEAST_DISK_BYTES, AMPLE_DISK_BYTES = 64 * MIB, 1024 * MIB
LEAST_MEMORY_BYTES, AMPLE_MEMORY_BYTES = 64 * MIB, 256 * MIB
CLOCK_S = 60.0
"""A clock that is further off is wrong, not late: the answer came within less."""
SILENT = "the system does not say"
OLDEST_PYTHON, NEWEST_PYTHON = (3, 8), (3, 13)


class Checked(Spec):
    """One device, as it was found, for one target that it serves."""

    device: str
    target: str
    usable: bool
    rows: tuple[Row, ...]


def checked(device: Device, target: Target, rows: list[Row]) -> Checked:
    usable = all(row.state != "missing" for row in rows)
    return Checked(device=device.id, target=target.name, usable=usable, rows=tuple(rows))


def python_row(version: str, program: str) -> Row:
    """`version` as Python says it: '3.11.2', '3.14.0rc1'."""
    found = re.match(r"([0-9]+)\.([0-9]+)", version)
    major, minor = (0, 0) if found is None else (int(found[1]), int(found[2]))
    text = f"{version}, {program}"
    if (major, minor) < OLDEST_PYTHON:
        fix = "install Python 3.8 to 3.13 there and name it with python: in the inventory"
        return missing("python", f"{text}: the agent needs 3.8 or later", fix)
    if (major, minor) > NEWEST_PYTHON:
        return warning("python", f"{text}: later than 3.13, with which nothing was tried")
    return ok("python", text)


def board_rows(target: Target, device: Device, probe: Probe, behind_s: float) -> list[Row]:
    """Whether the board itself is as the target wants it.

    Args:
        target: what the device shall run.
        device: as the inventory has it.
        probe: what was found there.
        behind_s: how far the board's clock is behind this machine's.

    """
    emulated = device.emulated or is_emulated(probe)
    rows = [_architecture_row(target, probe.machine, probe.python_bits)]
    rows += [] if emulated else _feature_rows(target, probe)
    rows += [
        ok("system", probe.system),
        _size_row("disk", probe.free_disk_bytes, LEAST_DISK_BYTES, AMPLE_DISK_BYTES),
        _size_row("memory", probe.available_memory_bytes, LEAST_MEMORY_BYTES, AMPLE_MEMORY_BYTES),
        _clock_row(behind_s),
    ]
    if probe.state is not None:
        rows.append(_governor_row(probe.state.governor, device))
        rows += _throttling_rows(probe.state.throttled)
    if emulated:
        text = "its speed says nothing about a board, and decides nothing"
        rows.append(warning("emulated", text))
    return rows


def package_rows(target: Target, device: Device, probe: Probe) -> list[Row]:
    """Whether the board has what the agent needs: numpy and the target's runtime."""
    if "numpy" in probe.versions:
        rows = [ok("numpy", probe.versions["numpy"])]
    else:
        rows = [missing("numpy", "numpy is missing", f"{pip_line(device)} install numpy")]
    return [*rows, *runtime(target.runtime.name).board_rows(target, probe, pip_line(device))]


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


def _architecture_row(target: Target, machine: str, bits: int | None) -> Row:
    wanted = machine if target.cpu == "native" else target.cpu.architecture
    if machine != wanted:
        fix = "take a target of that architecture: edgecompress targets list"
        return missing("architecture", f"{machine}, where {target.name} is {wanted}", fix)
    if bits == 32 and wanted in ("aarch64", "x86_64"):
        fix = "install the 64-bit edition of the board's system"
        return missing("architecture", f"{machine} with a Python of 32 bits", fix)
    return ok("architecture", machine)


def _feature_rows(target: Target, probe: Probe) -> list[Row]:
    if target.cpu == "native" or not probe.cpu_features:
        return []
    lacking = [name for name in target.cpu.features if name not in probe.cpu_features]
    if not lacking:
        return [ok("cpu", probe.cpu_model or "has what the target counts on")]
    text = f"{probe.cpu_model or probe.machine} lacks {', '.join(lacking)}: int8 gains less"
    return [warning("cpu", text, "choose a target without it: edgecompress targets list")]


def _size_row(name: str, size: int | None, least: int, ample: int) -> Row:
    if size is None:
        return ok(name, SILENT)
    text = f"{size / MIB:,.0f} MiB free"
    if size < least:
        return missing(name, f"{text}, at least {least / MIB:.0f} are needed", "make room there")
    if size < ample:
        return warning(name, f"{text}, which is little", "make room there")
    return ok(name, text)


def _clock_row(behind_s: float) -> Row:
    if abs(behind_s) <= CLOCK_S:
        return ok("clock", "right")
    way = "behind" if behind_s > 0 else "ahead of"
    text = f"{_duration(abs(behind_s))} {way} this machine's: certificates and histories go wrong"
    return warning("clock", text, "set it there; on Linux: sudo timedatectl set-ntp true")


def _governor_row(governor: str | None, device: Device) -> Row:
    if governor in (None, "performance"):
        return ok("governor", governor or SILENT)
    fix = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    text = f"{governor}: latencies vary with the clock"
    return warning("governor", text, None if device.transport == "adb" else fix)


def _throttling_rows(word: str | None) -> list[Row]:
    """The board's word: a Raspberry Pi's flags, or Android's thermal status."""
    if word is None:
        return []
    if word in UNTHROTTLED:
        return [ok("throttling", "none")]
    found = flags(word)
    if found is None:
        return [warning("throttling", word, "let it cool down")]
    words = [*found.now, *(f"{name} since boot" for name in found.since_boot)]
    fix = "use the board's own power supply and cool it, then start it again"
    return [warning("throttling", ", ".join(words) or word, fix)]


def _duration(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:.0f} days" if days >= 2 else f"{seconds:.0f} s"
