"""What an Android device is, and what state it is in: one shell script each, fixed texts."""

import re

from edgecompress.measure.telemetry import THERMAL_STATUS
from edgecompress.spec.measurement import DeviceState, Probe
from edgecompress.transport import Transport
from edgecompress.vendor.dumpsys import ThermalService, parse_thermalservice
from edgecompress.vendor.text import integer, left_over

ANSWER_S = 60.0
BETWEEN = "@@"
PROPERTIES = (
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.soc.manufacturer",
    "ro.soc.model",
    "ro.boot.qemu",
    "ro.kernel.qemu",
)
FIGURE = re.compile(r"[0-9]")
KHZ = re.compile(r"[0-9]{1,18}")
LOAD = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\b.*")
CPUFREQ = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
STATE_COMMANDS = (
    "cat /proc/loadavg",
    f"cat {CPUFREQ}/scaling_governor",
    f"cat {CPUFREQ}/scaling_cur_freq",
    "dumpsys thermalservice",
)
PROBE_COMMANDS = (
    "uname -m",
    *(f"getprop {name}" for name in PROPERTIES),
    "cat /proc/cpuinfo",
    "cat /proc/meminfo",
    "date +%s",
)


def read_state(transport: Transport) -> DeviceState:
    """What a device says; None where it does not, or does not let adb's user read it."""
    load, governors, clocks, thermal = _answers(transport, STATE_COMMANDS)
    service = parse_thermalservice(thermal)
    khz = [clock for clock in map(integer, clocks.split()) if clock is not None]
    first = re.match(r"[0-9]{1,9}\.[0-9]{1,9}\b", load)
    unread = (
        *left_over(clocks.split(), FIGURE, (KHZ,)),
        *left_over(load.splitlines(), FIGURE, (LOAD,)),
        *service.unread,
    )
    return DeviceState(
        governor=",".join(sorted(set(governors.split()))) or None,
        clock_mhz=max(khz) / 1000 if khz else None,
        temperature_c=_temperature_c(service),
        throttled=_throttled(service),
        load_1m=float(first.group()) if first else None,
        unread=unread or None,
    )


def read_probe(transport: Transport, versions: dict[str, str]) -> Probe:
    """`versions`: of the tools that were found."""
    machine, *properties, cpuinfo, meminfo, epoch = _answers(transport, PROBE_COMMANDS)
    known = {name: value.strip() for name, value in zip(PROPERTIES, properties, strict=True)}
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    info = {name.strip(): value.strip() for name, colon, value in lines if colon}
    android = known["ro.build.version.release"] or "of unknown release"
    model = f"{known['ro.product.manufacturer']} {known['ro.product.model']}".strip()
    soc = f"{known['ro.soc.manufacturer']} {known['ro.soc.model']}".strip()
    seconds = integer(epoch.strip())
    return Probe(
        machine=machine.strip(),
        system=f"Android {android} (API {known['ro.build.version.sdk'] or '?'}), {model}",
        python="none",
        cpu_model=soc or info.get("Hardware") or info.get("model name"),
        cpu_features=tuple(sorted((info.get("Features") or info.get("flags") or "").split())),
        cores=max(len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)), 1),
        memory_bytes=_memory_bytes(meminfo, "MemTotal"),
        versions={"android": android, **versions},
        free_disk_bytes=transport.files.free_bytes(transport.root),
        available_memory_bytes=_memory_bytes(meminfo, "MemAvailable"),
        epoch_s=None if seconds is None else float(seconds),
        state=read_state(transport),
        is_emulator="1" in (known["ro.boot.qemu"], known["ro.kernel.qemu"]),
    )


def _answers(transport: Transport, commands: tuple[str, ...]) -> list[str]:
    """What each command prints, nothing where it fails."""
    script = f"; echo; echo {BETWEEN}; ".join(f"{command} 2>/dev/null" for command in commands)
    done = transport.run(["sh", "-c", script], timeout_s=ANSWER_S)
    text = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    answers = text.split(f"\n{BETWEEN}\n")
    return [*answers, *[""] * len(commands)][: len(commands)]


def _memory_bytes(meminfo: str, key: str) -> int | None:
    found = re.search(rf"^{key}: +([0-9]{{1,12}}) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _temperature_c(service: ThermalService) -> float | None:
    """The hottest CPU sensor's, or that of all sensors where none has such a name."""
    known = [
        (sensor.name.upper(), sensor.temperature_c)
        for sensor in service.temperatures
        if sensor.temperature_c is not None
    ]
    of_cpu = [value for name, value in known if "CPU" in name]
    return max(of_cpu or [value for _, value in known], default=None)


def _throttled(service: ThermalService) -> str | None:
    """Android's word for its status, unless somebody set it by hand."""
    if service.status is None or service.status_overridden:
        return None
    return THERMAL_STATUS[service.status]
