"""Who runs in a race: the entrants of every runtime, with their files and what is seen of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError, DeviceError, ModelError, RuntimeMissing
from edgecompress.measure.elimination import student_t
from edgecompress.measure.race import Ran
from edgecompress.measure.turns import Lane
from edgecompress.pipeline.attempt import file_of
from edgecompress.pipeline.entrants import Entrant, entrants_of
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.measuring import Connected, lane_of
from edgecompress.progress import Labelled
from edgecompress.spec.race import Ending, RaceEntrant


@dataclass
class Runner:
    """An entrant on its way through the race."""

    entrant: Entrant
    job: Job
    """For what it would ship."""
    file: Artifact | None = None
    """What runs in the race; None: no file could be made."""
    ran: Ran = field(default_factory=Ran)
    ending: Ending | None = None
    """None: nobody has judged it."""
    why: str = ""
    metric: float | None = None

    @property
    def name(self) -> str:
        return self.entrant.name

    @property
    def has_run(self) -> bool:
        return bool(self.ran.costs_ms) and self.ran.failure is None

    @property
    def lane(self) -> str:
        """Entrants whose files are the same, in the same runtime, run once."""
        sha256, target = "" if self.file is None else self.file.sha256, self.job.recipe.target
        return f"{target.name} {target.runtime.threads} {self.entrant.is_original} {sha256}"

    def failed(self, why: str) -> None:
        self.ran.failure, self.ending, self.why = why, "failed", why

    def row(self) -> RaceEntrant:
        target, costs = self.job.recipe.target, self.ran.costs_ms
        low, high = _interval(costs)
        return RaceEntrant(
            name=self.name,
            target=target.name,
            runtime=target.runtime.name,
            variant=self.entrant.variant,
            threads=target.runtime.threads,
            model_size_bytes=None if self.file is None else self.file.size_bytes,
            latency_ms_p50=self.ran.latency_ms if costs else None,
            latency_ms_low=low,
            latency_ms_high=high,
            rounds=len(costs),
            metric=self.metric,
            ending=self.ending or "slower",
            why=self.why,
        )


def runners_of(job: Job) -> list[Runner]:
    """All that may be made of a recipe, with the files that run in the race.

    One of which no file can be made has failed, and says why.
    """
    runners = []
    for entrant in entrants_of(job.recipe):
        progress = Labelled(job.stages.progress, entrant.name)
        stages = replace(job.stages, progress=progress)
        runners.append(Runner(entrant, replace(job, recipe=entrant.recipe, stages=stages)))
    _make_files(runners)
    return runners


def _make_files(runners: Sequence[Runner]) -> None:
    """Make what runs in the race of each."""
    for one in runners:
        try:
            _, one.file = file_of(replace(one.job, recipe=one.entrant.shape))
        except (ModelError, ArtifactError, RuntimeMissing) as error:
            one.failed(str(error))


def lanes_of(
    job: Job, runners: Sequence[Runner], connected: Connected
) -> Iterator[tuple[str, Lane]]:
    """What is measured, by name: each file once, got ready on the device.

    Args:
        job: whose samples all files are given.
        runners: one whose file the device does not take has failed, and says why.
        connected: the device.

    """
    seen: set[str] = set()
    for one in runners:
        if one.file is None or one.lane in seen:
            continue
        seen.add(one.lane)
        target = one.job.recipe.target
        there = connected.on(target)
        try:
            loaded = there.prepare(target, one.file, original=one.entrant.is_original)
        except (ArtifactError, DeviceError) as error:
            one.failed(str(error))
            continue
        yield one.lane, lane_of(target, loaded, there, job.measured_inputs)


def ranked(runners: Sequence[Runner]) -> list[Runner]:
    """The fastest first; those that never ran at the end."""
    return sorted(runners, key=lambda one: one.ran.latency_ms if one.has_run else math.inf)


def best_float(runners: Sequence[Runner]) -> Runner:
    """The fastest original. Raises ModelError when none has run."""
    originals = [one for one in runners if one.entrant.is_original]
    for one in ranked(originals):
        if one.has_run:
            return one
    raise ModelError(f"the original runs in no runtime of the board: {originals[0].why}")


def _interval(costs_ms: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the median turn, by Student's t on the logarithms."""
    if len(costs_ms) < 2:
        return None, None
    logs = np.log(costs_ms)
    half = student_t(0.975, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    middle = float(logs.mean())
    return math.exp(middle - half), math.exp(middle + half)
