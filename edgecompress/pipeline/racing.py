"""A race on a board: every way to make the model there, in every runtime that it has.

Nothing is trained for a file before it is known to be fast: a file of the same shapes and
operators, made without training, runs in its place (measure/race.py). Then they are made as they
would ship, the fastest first, until the verdict on one is to ship it. What is slower than the
fastest float original of any runtime is not tried, because that original needs no proof.
"""

from collections.abc import Mapping, Sequence

from edgecompress.errors import ArtifactError, ModelError, RuntimeMissing
from edgecompress.measure.elimination import ERROR_RATE
from edgecompress.measure.notes import is_emulated
from edgecompress.measure.race import race
from edgecompress.pipeline.attempt import Against, Attempt, attempt
from edgecompress.pipeline.entrants import asks_for_int8
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means
from edgecompress.pipeline.measuring import Connected, RivalFile, on_device
from edgecompress.pipeline.runners import Runner, best_float, lanes_of, ranked, runners_of
from edgecompress.runtimes import runtime
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Probe
from edgecompress.spec.race import Ending, Race

PIP = "pip"
MOST_TRIED = 4
"""So many are made as they would ship, each with its training, where all are refused."""
ONLY_INT8 = "floats, but for the originals: deploy.yaml's budgets have min_int8_op_fraction"
_BY_CLOCK = {"speed", "race"}
"""Checks that the next fastest passes no more than the one before."""
_ENDINGS: Mapping[str, Ending] = {"refuse": "refused", "unmeasured": "uncertain", "ship": "won"}


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
    absent = {job.recipe.target.name: lacks(job, device, probe) for job in jobs}
    present = [job for job in jobs if absent[job.recipe.target.name] is None]
    if not present:
        raise RuntimeMissing("; ".join(filter(None, absent.values())))
    runners = [runner for job in present for runner in runners_of(job)]
    with on_device(jobs[0], device) as connected:
        _run(jobs[0], runners, connected)
    unable = {one.why: one for one in reversed(runners) if _is_unable(one)}
    runners = [one for one in runners if not _is_unable(one)]
    best = best_float(runners)
    against = against.and_rival(_rival(best))
    won = _first_that_ships(runners, best, means, against)
    if pushes and won.judgement.decision != "refuse":
        won = attempt(won.job, means, against, pushes=True)
    rounds = present[0].recipe.target.measurement.racing.turns
    lanes = {one.lane: one.ran for one in runners if one.ran.taken}
    return won, Race(
        board=board,
        device=device.id,
        entrants=tuple(one.row() for one in ranked(runners)),
        best_float=best.name,
        turns=sum(ran.taken for ran in lanes.values()),
        full_turns=rounds * len(lanes),
        error_rate=ERROR_RATE,
        absent=(
            *filter(None, absent.values()),
            *(f"{one.name}: {why}" for why, one in unable.items()),
            *([ONLY_INT8] if asks_for_int8(jobs[0].recipe.config) else []),
        ),
    )


def lacks(job: Job, device: Device, probe: Probe) -> str | None:
    """What a target's runtime lacks on the device; None: it is there, as far as one can ask."""
    if device.transport == "adb":
        return None
    target = job.recipe.target
    problem = runtime(target.runtime.name).problem(target.runtime, probe.versions, PIP)
    return None if problem is None else f"{target.name}: {problem.text}; {problem.fix}"


def _run(job: Job, runners: Sequence[Runner], connected: Connected) -> None:
    lanes = dict(lanes_of(job, runners, connected))
    originals = {one.lane for one in runners if one.entrant.is_original}
    heats = [
        {name: lane for name, lane in lanes.items() if (name in originals) == original}
        for original in (True, False)
    ]
    names = {one.lane: one.name for one in reversed(runners)}
    progress, rounds = job.stages.progress, job.recipe.target.measurement.racing.turns

    def on_round(number: int, running: Sequence[str]) -> None:
        connected.tick(len(running))
        which = names[running[0]] if len(running) == 1 else f"{len(running)} files"
        progress.step(number, rounds, f"round {number} of at most {rounds}: {which}")

    with progress.stage("race"):
        ran = race(heats, rounds, on_round)
    for one in runners:
        if one.lane in ran:
            one.ran = ran[one.lane]
            if one.ran.failure is not None:
                one.failed(one.ran.failure)


def _is_unable(one: Runner) -> bool:
    """Whether the device does not compute in the type at all, so that there is nothing to race."""
    return one.entrant.variant == "half" and one.ending == "failed" and not one.ran.taken


def _rival(best: Runner) -> RivalFile:
    assert best.file is not None, "it has run"
    return RivalFile("best float", best.name, best.job.recipe.target, best.file, original=True)


def _first_that_ships(
    runners: Sequence[Runner], best: Runner, means: Means, against: Against
) -> Attempt:
    """Make what is faster than the best original as it would ship, until one is not refused; else
    the fastest of them.
    """
    made = [one for one in ranked(runners) if one.has_run and not one.entrant.is_original]
    faster = [one for one in made if one.ran.latency_ms < best.ran.latency_ms]
    closest: Attempt | None = None
    first: Runner | None = None
    for one in (faster or made[:1])[:MOST_TRIED]:
        try:
            found = attempt(one.job, means, against, pushes=False)
        except (ModelError, ArtifactError) as error:
            one.failed(str(error))
            continue
        decision = found.judgement.decision
        one.ending = _ENDINGS[decision]
        one.why = found.judgement.checks[0].text
        one.metric = found.results.candidate.evaluation.value
        if decision != "refuse":
            # What cannot be measured now is no fault of the file, and the next one is slower.
            closest, first = found, one
            break
        if closest is None or _unmet(found) < _unmet(closest):
            closest = found
        failed = {check.kind for check in found.judgement.checks if check.outcome == "fail"}
        if failed and failed <= _BY_CLOCK:
            break
    if closest is None:
        why = next((one.why for one in runners if one.ending == "failed"), "nothing ran")
        raise ModelError(f"nothing could be made of the model for this board: {why}")
    _tell(runners, best if first is None else first)
    return closest


def _unmet(attempt: Attempt) -> int:
    return sum(check.outcome in ("fail", "unmeasured") for check in attempt.judgement.checks)


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
            one.why = _slower(one, first)


def _slower(one: Runner, first: Runner) -> str:
    if one.lane == first.lane:
        return f"the same shape as {first.name}, which comes first"
    times, count = one.ran.latency_ms / first.ran.latency_ms, len(one.ran.costs_ms)
    rounds = "a round" if count == 1 else f"{count} rounds"
    early = f", and left after {rounds}" if one.ran.left_early else ""
    return f"took {times:.2f} times as long as {first.name}{early}"
