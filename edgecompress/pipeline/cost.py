"""What a stage costs the machine that does it."""

import resource
import time
from pathlib import Path

from edgecompress.spec.report import StageCost

_PROC, _POWERCAP = Path("/proc/self"), Path("/sys/class/powercap")
_FORGET_PEAK = "5"
"""What clear_refs takes to begin the peak of resident memory anew (proc_pid_clear_refs(5))."""


class CostMeter:
    """Measures from when it is made: this process, and those of its children that have ended."""

    def __init__(
        self, proc: Path = _PROC, powercap: Path = _POWERCAP, *, within: bool = False
    ) -> None:
        """`within`: another measures at the same time, whose peak of memory is not begun anew."""
        self._proc, self._powercap = proc, powercap
        self._knows_peak = not within and self._forgets_peak()
        self._energy_uj = self._energy()
        self._cpu_s, self._start_s = _cpu_s(), time.monotonic()

    def cost(self) -> StageCost:
        """So far."""
        return StageCost(
            seconds=round(time.monotonic() - self._start_s, 3),
            cpu_s=round(_cpu_s() - self._cpu_s, 3),
            peak_rss_bytes=self._peak_rss_bytes() if self._knows_peak else None,
            energy_j=self._energy_j(),
        )

    def _forgets_peak(self) -> bool:
        try:
            (self._proc / "clear_refs").write_text(_FORGET_PEAK)
        except OSError:
            return False
        return True

    def _energy_j(self) -> float | None:
        before, after = self._energy_uj, self._energy()
        # A counter that wrapped around in between says nothing.
        if before is None or after is None or after < before:
            return None
        return round((after - before) / 1e6, 3)

    def _energy(self) -> int | None:
        """Microjoules of all CPU packages together, as RAPL counts them; often for root alone."""
        try:
            files = sorted(self._powercap.glob("intel-rapl:[0-9]*/energy_uj"))
            return sum(int(file.read_text()) for file in files) if files else None
        except (OSError, ValueError):
            return None

    def _peak_rss_bytes(self) -> int | None:
        try:
            lines = (self._proc / "status").read_text().splitlines()
            (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
            return int(peak) * 1024
        except (OSError, ValueError):
            return None


def _cpu_s() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
