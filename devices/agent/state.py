"""What may make a latency wrong: governor, clock, temperature, throttling, load."""

from __future__ import annotations

from pathlib import Path

GET_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
CPU_ZONES = ("cpu", "soc", "x86_pkg", "k10temp")


def read_state(root: Path = Path("/")) -> dict[str, object]:
    """A DeviceState; None where the board does not say."""
    return {
        "governor": _governor(root),
        "clock_mhz": _clock_mhz(root),
        "temperature_c": _temperature_c(root),
        "throttled": _throttled(root),
        "load_1m": _number(_read(root / "proc/loadavg").partition(" ")[0]),
    }


def _governor(root: Path) -> str | None:
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return ",".join(sorted({_read(file) for file in files} - {""})) or None


def _clock_mhz(root: Path) -> float | None:
    """Of the fastest core: with big.LITTLE that is the one that matters."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [khz / 1000 for khz in map(_number, map(_read, files)) if khz is not None]
    if not clocks:
        lines = _read(root / "proc/cpuinfo").splitlines()
        values = [_number(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        clocks = [mhz for mhz in values if mhz is not None]
    return max(clocks, default=None)


def _temperature_c(root: Path) -> float | None:
    """The hottest zone of the CPU, or of all zones where none has such a name."""
    cpu: list[float] = []
    other: list[float] = []
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        milli_c = _number(_read(zone / "temp"))
        if milli_c is not None:
            is_cpu = any(word in _read(zone / "type").lower() for word in CPU_ZONES)
            (cpu if is_cpu else other).append(milli_c / 1000)
    return max(cpu or other, default=None)


def _throttled(root: Path) -> str | None:
    """A Raspberry Pi's flags; the file prints hexadecimal without 0x, vcgencmd with it."""
    text = _read(root / GET_THROTTLED)
    try:
        return hex(int(text, 16))
    except ValueError:
        return None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        # Some zones and governors exist and refuse to be read.
        return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
