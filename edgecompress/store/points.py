"""What charts over many runs show of each: a few values of its report.json, which may have
megabytes of samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


@dataclass(frozen=True)
class RunPoint:
    """What a finished run measured of the file that it would ship, for charts over many runs."""

    id: str
    created: str
    """ISO 8601, UTC."""
    target: str
    task: str
    device: str | None
    decision: str
    metric: str
    value: float | None
    latency_ms_p50: float | None
    model_size_bytes: int
    macs: int
    stages: int = 0
    """How many it had."""


class _Read(BaseModel):
    """What is read of a report.json: pydantic's parser makes no Python objects of the rest."""

    # Only some commands draw charts.
    model_config = ConfigDict(defer_build=True)


class _Verdict(_Read):
    decision: str


class _Metric(_Read):
    name: str
    value: Any


class _Candidate(_Read):
    metric: _Metric
    latency_ms_p50: Any
    model_size_bytes: int
    macs: int


class _Report(_Read):
    run: str
    created: str
    target: str
    task: str
    device: str | None
    verdict: _Verdict
    candidate: _Candidate
    stages: list[Any]


def run_points(texts: Iterable[str]) -> list[RunPoint]:
    """One for each report.json; without those of a version that has other keys."""
    found = []
    for text in texts:
        try:
            report = _Report.model_validate_json(text)
        except ValidationError:
            continue
        candidate = report.candidate
        found.append(
            RunPoint(
                id=report.run,
                created=report.created,
                target=report.target,
                task=report.task,
                device=report.device,
                decision=report.verdict.decision,
                metric=candidate.metric.name,
                value=_number(candidate.metric.value),
                latency_ms_p50=_number(candidate.latency_ms_p50),
                model_size_bytes=candidate.model_size_bytes,
                macs=candidate.macs,
                stages=len(report.stages),
            )
        )
    return found


def _number(value: object) -> float | None:
    """None also for what is not finite, which report.json has as a word."""
    return float(value) if isinstance(value, (int, float)) else None
