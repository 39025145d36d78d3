"""What befalls this process while it is measured: read once before and once after.

Nothing of this runs in between, so that it costs the measurement nothing.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Sequence

from .cores import allowed_cores, quota_cores, quota_wait_s
from .sensors import Sensors, number, read
from .spin import spin_us

BUSY = (0, 1, 2, 5, 6)
"""Columns of /proc/stat: user, nice, system, irq, softirq. Those of guests are in user and nice."""
STOLEN = 7
THROTTLES = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
"""What x86 counts of itself: how often a core, or the whole package, was slowed down by heat."""
UNCOUNTED_S = 0.1
"""What ticks may miss of a short while."""
SWAP_KEYS = ("pswpin", "pswpout")


class Stops:
    """Counts how often this process is continued, which it is after every stop."""

    def __init__(self) -> None:
        self.count: int | None = None

    def __enter__(self) -> Stops:
        try:
            self._before = signal.signal(signal.SIGCONT, self._continued)
        except (AttributeError, ValueError):
            # Another system, or not the main thread: nothing is known then.
            return self
        self.count = 0
        return self

    def __exit__(self, *_: object) -> None:
        if self.count is not None:
            signal.signal(signal.SIGCONT, self._before)

    def _continued(self, _: int, __: FrameType | None) -> None:
        if self.count is not None:
            self.count += 1


class Reading(NamedTuple):
    """Counters that only grow; None where the system does not tell."""

    wall_s: float
    cpu_s: float
    waits_s: dict[str, float]
    """Each thread's: ready to run and not running."""
    busy_s: float | None
    """CPU time of everything on the cores that this process may use, its own included."""
    stolen_s: float | None
    quota_s: float | None
    switches: int | None
    major_faults: int | None
    read_bytes: int | None
    swapped_pages: int | None
    throttles: int | None
    suspended_s: float | None


class Watch:
    """Conditions from `begin` to `end`, without what lies between `pause` and `resume`."""

    def __init__(self, root: Path, sensors: Sensors, stops: Stops) -> None:
        self._root = root
        self._sensors = sensors
        self._stops = stops
        self._cores = allowed_cores()
        self._throttles = sorted(root.glob(THROTTLES))

    def begin(self) -> None:
        self._clock_mhz = self._sensors.clock_mhz()
        self._spin_us = spin_us()
        self._parts: list[dict[str, float | None]] = []
        self.resume()

    def resume(self) -> None:
        self._before: Reading | None = self._read()

    def pause(self) -> None:
        """Whatever happens from here on is not looked at."""
        before, after = self._before, self._read()
        assert before is not None
        self._before = None
        passed = {
            key: _difference(getattr(before, key), getattr(after, key))
            for key in Reading._fields
            if key != "waits_s"
        }
        self._parts.append({**passed, "waited_s": _longest_s(before.waits_s, after.waits_s)})

    def end(self, slept_s: float = 0.0) -> dict[str, object]:
        """A Conditions; `slept_s`: asleep because the protocol asks for it."""
        # The clock first, because it falls as soon as there is nothing to do.
        clock_mhz = self._sensors.clock_mhz()
        if self._before is not None:
            self.pause()
        last_us = spin_us()
        passed = {key: _sum([part[key] for part in self._parts]) for key in self._parts[0]}
        busy_s, cpu_s = passed.pop("busy_s"), passed["cpu_s"]
        assert cpu_s is not None
        return {
            **passed,
            "slept_s": slept_s,
            "stops": self._stops.count,
            "others_s": _others_s(busy_s, cpu_s),
            "cores": len(self._cores),
            "quota_cores": quota_cores(self._root),
            "clock_mhz_first": self._clock_mhz,
            "clock_mhz_last": clock_mhz,
            "spin_us_first": self._spin_us,
            "spin_us_last": last_us,
        }

    def _read(self) -> Reading:
        busy_s, stolen_s = _cores_s(self._root, self._cores)
        switches, major_faults = _usage()
        return Reading(
            time.monotonic(),
            time.process_time(),
            _waits_s(self._root),
            busy_s,
            stolen_s,
            quota_wait_s(self._root),
            switches,
            major_faults,
            _field(read(self._root / "proc/self/io"), "read_bytes:"),
            _swapped_pages(self._root),
            _throttles(self._throttles),
            _suspended_s(),
        )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _others_s(busy_s: float | None, cpu_s: float) -> float | None:
    """What is left of the cores' time without this process's own."""
    # A system that does not count this process there, as some sandboxes, counts nobody.
    if busy_s is None or busy_s < cpu_s / 2 - UNCOUNTED_S:
        return None
    # Ticks are of 10 ms: what is left may be less than nothing.
    return max(0.0, busy_s - cpu_s)


def _sum(values: Sequence[float | None]) -> float | None:
    """None where one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _waits_s(root: Path) -> dict[str, float]:
    """Linux keeps, of each thread: ns that it ran, ns that it waited to run, times that it ran."""
    waits = {}
    for file in root.glob("proc/self/task/[0-9]*/schedstat"):
        waited = read(file).split(" ")[1:2]
        value = number(waited[0]) if waited else None
        if value is not None:
            waits[file.parent.name] = value / 1e9
    return waits


def _longest_s(before: dict[str, float], after: dict[str, float]) -> float | None:
    """A parallel inference ends with its slowest thread. Threads may begin in between."""
    return max((wait - before.get(thread, 0.0) for thread, wait in after.items()), default=None)


def _cores_s(root: Path, cores: set[int]) -> tuple[float | None, float | None]:
    """Busy and stolen time of these cores."""
    ticks = {}
    for line in read(root / "proc/stat").splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            ticks[name] = [int(value) for value in values]
    if not ticks or any(len(values) <= STOLEN for values in ticks.values()):
        return None, None
    ticks_s = os.sysconf("SC_CLK_TCK")
    busy = sum(values[at] for values in ticks.values() for at in BUSY)
    return busy / ticks_s, sum(values[STOLEN] for values in ticks.values()) / ticks_s


def _usage() -> tuple[int | None, int | None]:
    """Involuntary context switches and major page faults, of all threads."""
    try:
        import resource
    except ImportError:
        return None, None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_majflt


def _swapped_pages(root: Path) -> int | None:
    text = read(root / "proc/vmstat")
    counts = [_field(text, key + " ") for key in SWAP_KEYS]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _throttles(files: list[Path]) -> int | None:
    counts = [number(read(file)) for file in files]
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known else None


def _field(text: str, key: str) -> int | None:
    values = [line[len(key) :] for line in text.splitlines() if line.startswith(key)]
    return int(values[0]) if values and values[0].strip().isdigit() else None


def _suspended_s() -> float | None:
    """How long the machine has slept since it started: only one of the two clocks goes on then."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return (
        None
        if clock is None
        else time.clock_gettime(clock) - time.clock_gettime(time.CLOCK_MONOTONIC)
    )
