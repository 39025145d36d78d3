"""A race on a board: every way to make the model there, in every runtime that it has.

Nothing is trained for a file before it is known to be fast: a file of the same shapes and
operators, made without training, runs in its place (measure/race.py). Then they are made as they
would ship, the fastest first, until the verdict on one is to ship it. What is slower than the
fastest float original of any runtime is not tried, because that original needs no proof.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError, DeviceError, ModelError, RuntimeMissing
from edgecompress.measure.compare import Lane
from edgecompress.measure.elimination import ERROR_RATE, student_t
from edgecompress.measure.notes import is_emulated
from edgecompress.measure.race import Ran, race
from edgecompress.pipeline.attempt import Against, Attempt, attempt, file_of
from edgecompress.pipeline.entrants import Entrant, entrants_of
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means
from edgecompress.pipeline.measuring import Connected, RivalFile, lane_of, on_device
from edgecompress.progress import Labelled
from edgecompress.runtimes import runtime
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Probe
from edgecompress.spec.race import Ending, Race, RaceEntrant

PIP = "pip"
_ENDINGS: Mapping[str, Ending] = {"refuse": "refused", "unmeasured": "uncertain", "ship": "won"}


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


def race_on(
    board: str, jobs: Sequence[Job], means: Means, against: Against, *, pushes: bool
) -> tuple[Attempt, Race] | None:
    """Race all that can be made for a board.

    Args:
        board: its name.
        jobs: the user's recipe for each of the board's runtimes.
        means: what evaluates here, and the device where the race is held.
        against: what else the candidates must not be worse than.
        pushes: whether what wins is sent to the device and activated there.

    Returns:
        What won, or what came closest to it, and the race. None: the device is emulated, so that no
        latency there says anything.

    Raises:
        RuntimeMissing: the device has none of the board's runtimes.
        ModelError: of the original, or of all that may be made of it, no file can be made or run.
        DeviceError: the device, or the way to it.

    """
    device = means.device
    assert device is not None, "there is no race without a device"
    with on_device(jobs[0], device) as connected:
        probe = connected.agent.probe()
    if is_emulated(probe):
        return None
    absent = {job.recipe.target.name: _lacks(job, device, probe) for job in jobs}
    present = [job for job in jobs if absent[job.recipe.target.name] is None]
    if not present:
        raise RuntimeMissing("; ".join(filter(None, absent.values())))
    runners = [runner for job in present for runner in _runners(job)]
    _make_files(runners)
    with on_device(jobs[0], device) as connected:
        _run(jobs[0], runners, connected)
    best = _best_float(runners)
    against = against.and_rival(_rival(best))
    won = _first_that_ships(runners, best, means, against)
    if pushes and won.judgement.decision != "refuse":
        won = attempt(won.job, means, against, pushes=True)
    rounds = present[0].recipe.target.measurement.turns
    lanes = {_lane(one): one.ran for one in runners if one.file is not None}
    return won, Race(
        board=board,
        device=device.id,
        entrants=tuple(one.row() for one in _ranked(runners)),
        best_float=best.name,
        turns=sum(ran.taken for ran in lanes.values()),
        full_turns=rounds * len(lanes),
        error_rate=ERROR_RATE,
        absent=tuple(filter(None, absent.values())),
    )


def _lacks(job: Job, device: Device, probe: Probe) -> str | None:
    """What a target's runtime lacks on the device; None: it is there, as far as one can ask."""
    if device.transport == "adb":
        return None
    target = job.recipe.target
    problem = runtime(target.runtime.name).problem(target.runtime, probe.versions, PIP)
    return None if problem is None else f"{target.name}: {problem.text}; {problem.fix}"


def _runners(job: Job) -> list[Runner]:
    runners = []
    for entrant in entrants_of(job.recipe):
        progress = Labelled(job.stages.progress, entrant.name)
        stages = replace(job.stages, progress=progress)
        runners.append(Runner(entrant, replace(job, recipe=entrant.recipe, stages=stages)))
    return runners


def _make_files(runners: Sequence[Runner]) -> None:
    """Make what runs in the race of each."""
    for one in runners:
        try:
            _, one.file = file_of(replace(one.job, recipe=one.entrant.shape))
        except (ModelError, ArtifactError, RuntimeMissing) as error:
            _failed(one, str(error))


def _failed(one: Runner, why: str) -> None:
    one.ran.failure, one.ending, one.why = why, "failed", why


def _run(job: Job, runners: Sequence[Runner], connected: Connected) -> None:
    lanes: dict[str, Lane] = {}
    for one in runners:
        name = _lane(one)
        if one.file is None or name in lanes:
            continue
        target = one.job.recipe.target
        there = connected.on(target)
        try:
            loaded = there.prepare(target, one.file, original=one.entrant.is_original)
        except (ArtifactError, DeviceError) as error:
            _failed(one, str(error))
            continue
        lanes[name] = lane_of(target, loaded, there, job.measured_inputs)
    names = {_lane(one): one.name for one in reversed(runners)}
    progress, rounds = job.stages.progress, job.recipe.target.measurement.turns
    done = 0

    def on_turn(name: str, number: int) -> None:
        nonlocal done
        done += 1
        connected.tick()
        progress.step(done, 0, f"round {number} of at most {rounds}: {names[name]}")

    with progress.stage("race"):
        ran = race(lanes, rounds, on_turn)
    for one in runners:
        if _lane(one) in ran:
            one.ran = ran[_lane(one)]
            if one.ran.failure is not None:
                _failed(one, one.ran.failure)


def _lane(one: Runner) -> str:
    """Entrants whose files are the same run once."""
    sha256 = "" if one.file is None else one.file.sha256
    target = one.job.recipe.target
    return f"{target.name} {target.runtime.threads} {one.entrant.is_original} {sha256}"


def _ranked(runners: Sequence[Runner]) -> list[Runner]:
    """The fastest first; those that never ran at the end."""
    return sorted(runners, key=lambda one: one.ran.latency_ms if one.has_run else math.inf)


def _best_float(runners: Sequence[Runner]) -> Runner:
    originals = [one for one in runners if one.entrant.is_original]
    for one in _ranked(originals):
        if one.has_run:
            return one
    raise ModelError(f"the original runs in no runtime of the board: {originals[0].why}")


def _rival(best: Runner) -> RivalFile:
    assert best.file is not None, "it has run"
    return RivalFile("best float", best.name, best.job.recipe.target, best.file, original=True)


def _first_that_ships(
    runners: Sequence[Runner], best: Runner, means: Means, against: Against
) -> Attempt:
    """Make what is faster than the best original as it would ship, until one is not refused; else
    the fastest of them.
    """
    made = [one for one in _ranked(runners) if one.has_run and not one.entrant.is_original]
    faster = [one for one in made if one.ran.latency_ms < best.ran.latency_ms]
    closest: Attempt | None = None
    first: Runner | None = None
    for one in faster or made[:1]:
        try:
            found = attempt(one.job, means, against, pushes=False)
        except (ModelError, ArtifactError) as error:
            _failed(one, str(error))
            continue
        decision = found.judgement.decision
        one.ending = _ENDINGS[decision]
        one.why = found.judgement.checks[0].text
        one.metric = found.results.candidate.evaluation.value
        if decision != "refuse":
            # What cannot be measured now is no fault of the file, and the next one is slower.
            closest, first = found, one
            break
        closest = closest or found
    if closest is None:
        why = next((one.why for one in runners if one.ending == "failed"), "nothing ran")
        raise ModelError(f"nothing could be made of the model for this board: {why}")
    _tell(runners, best if first is None else first)
    return closest


def _tell(runners: Sequence[Runner], first: Runner) -> None:
    """Why those lost that nobody has judged."""
    for one in runners:
        if one.ending == "won":
            one.why = "the fastest that keeps the metric and the budgets"
        elif one.ending is not None:
            continue
        elif one is first:
            one.ending, one.why = "won", "nothing that keeps the metric is shown to be faster"
        else:
            one.ending = "slower"
            times = one.ran.latency_ms / first.ran.latency_ms
            early = f", and left after {len(one.ran.costs_ms)} rounds" if one.ran.left_early else ""
            one.why = f"took {times:.2f} times as long as {first.name}{early}"


def _interval(costs_ms: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the median turn, by Student's t on the logarithms."""
    if len(costs_ms) < 2:
        return None, None
    logs = np.log(costs_ms)
    half = student_t(0.975, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    middle = float(logs.mean())
    return math.exp(middle - half), math.exp(middle + half)
