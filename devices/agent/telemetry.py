"""What the board does while it is measured, once a second."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Sequence

from .power import find_power
from .sensors import Sensors, Which
from .unread import Unread

EVERY_S = 1.0
LEAST_READINGS = 2
"""Readings of power for an energy: one alone may be of any moment."""


class Telemetry:
    """Samples in a thread while a `with` block runs, in the middle of every second.

    It leaves the measurement alone as far as it can. What it reads is looked for when it is made,
    before anything is timed. A sample is a dozen reads of sysfs, and in each of them the thread
    holds no interpreter lock; between two it holds it for microseconds, so an inference that ends
    just then waits that long, once a second at most. Only where the board has no file for it
    (flags of an old Raspberry Pi, power of a Pi 5) is a program started, which takes a millisecond
    or two of one core, again once a second. So some samples of latency may be larger by that; no
    median is.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        which: Which = shutil.which,
        every_s: float = EVERY_S,
        unread: Unread | None = None,
    ) -> None:
        self.samples: list[dict[str, object]] = []
        """TelemetrySamples, in order."""
        self.power_mw: list[float] = []
        """All readings of it."""
        self._every_s = every_s
        unread = Unread() if unread is None else unread
        self._sensors = Sensors(root, which, unread)
        self._power = find_power(root, which, unread)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def power_of(self) -> str | None:
        """What the power is measured of."""
        return self._power.of if self._power is not None and self.power_mw else None

    def __enter__(self) -> Telemetry:
        self._begin = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._power is not None:
            self._power.close()

    def _run(self) -> None:
        wait_s = self._every_s / 2
        while not self._stop.wait(wait_s):
            self._sample()
            wait_s = self._every_s

    def _sample(self) -> None:
        power_mw = self._power.read_mw() if self._power is not None else None
        if power_mw is not None:
            self.power_mw.append(power_mw)
        self.samples.append(
            {
                "at_s": time.monotonic() - self._begin,
                "temperature_c": self._sensors.temperature_c(),
                "clock_mhz": self._sensors.clock_mhz(),
                "throttled": self._sensors.throttled(),
                "power_mw": power_mw,
            }
        )


def energy_mj(power_mw: Sequence[float], latency_ms: Sequence[float]) -> float | None:
    """The energy of one inference: mean power times mean time (mW * s = mJ).

    All of what is measured, idle power and other programs included; None of too few readings.
    """
    if len(power_mw) < LEAST_READINGS or not latency_ms:
        return None
    return _mean(power_mw) * _mean(latency_ms) / 1000


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
