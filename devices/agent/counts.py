"""What a runtime counts: the time of each operator, inference by inference."""

from __future__ import annotations

from typing import Iterable, NamedTuple

WARMUPS = 2
"""Inferences that are run first, and do not count."""


class Counted(NamedTuple):
    """One operator in one inference."""

    name: str
    op_type: str
    time_us: float


class Counts:
    """The operators of several inferences."""

    def __init__(self) -> None:
        self._inferences: list[dict[tuple[str, str], float]] = []

    def add(self, operators: Iterable[Counted]) -> None:
        """One inference; what runs several times in it, as a loop's body does, is added up."""
        times: dict[tuple[str, str], float] = {}
        for name, op_type, time_us in operators:
            times[name, op_type] = times.get((name, op_type), 0.0) + time_us
        self._inferences.append(times)

    def __len__(self) -> int:
        return len(self._inferences)

    def rows(self, skip: int) -> list[dict[str, object]]:
        """Each operator with the mean of the middle half of its times, in order of execution.

        The first `skip` inferences do not count. Not the median, because some runtimes count whole
        microseconds, which it would keep; an operator that did not run took no time.
        """
        counted = self._inferences[skip:]
        keys = dict.fromkeys(key for times in counted for key in times)
        return [
            {
                "name": name,
                "op_type": op_type,
                "time_us": middle_mean([times.get((name, op_type), 0.0) for times in counted]),
            }
            for name, op_type in keys
        ]


def middle_mean(values: Iterable[float]) -> float:
    """The mean without the lowest and the highest quarter."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)
