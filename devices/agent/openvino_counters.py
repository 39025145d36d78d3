"""OpenVINO's counters of time: each tells the average over all inferences so far.

The first inference, in which kernels are made, would weigh in all that follow; so what it took is
taken off again.
"""

from __future__ import annotations

from typing import Any

from .counts import WARMUPS, Counted, Counts


class Counters:
    """Those of one request, inference by inference."""

    def __init__(self) -> None:
        self._totals_us: list[dict[tuple[str, str], float]] = []
        """Sums over the inferences so far, by the name and the type of a node."""

    def note(self, request: Any) -> None:
        """Called after each inference."""
        number = len(self._totals_us) + 1
        self._totals_us.append(
            {
                (str(each.node_name), str(each.node_type)): number
                * each.real_time.total_seconds()
                * 1e6
                for each in request.get_profiling_info()
            }
        )

    def mean_us(self, skip: int) -> dict[tuple[str, str], float]:
        """The time of each node in one inference after the first `skip`, at least one."""
        before, after = self._totals_us[skip - 1], self._totals_us[-1]
        count = len(self._totals_us) - skip
        return {
            node: max(total - before.get(node, 0.0), 0.0) / count for node, total in after.items()
        }

    def counts(self) -> Counts:
        """The mean, for each inference after warming up, of what took any time."""
        counts = Counts()
        mean_us = self.mean_us(WARMUPS).items()
        mean = [Counted(*node, time_us) for node, time_us in mean_us if time_us]
        for number in range(len(self._totals_us)):
            counts.add(mean if number >= WARMUPS else [])
        return counts
