"""Latency and memory of one file, or of two in turns."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecompress.errors import AgentError
from edgecompress.measure.agent import DeviceAgent
from edgecompress.measure.inputs import Inputs, write_feeds
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.notes import is_emulated, notes
from edgecompress.measure.telemetry import energy_mj_per_inference
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Comparison, MeasuredInputs, Measurement, Turn
from edgecompress.spec.target import MeasurementProtocol

OnTurn = Callable[[str, int, Turn], None]
"""Called after each turn: 'baseline', 'candidate' or, for one alone, 'file'; number from 1; it."""

RESAMPLES = 1000
CONFIDENCE_PERCENT = 95
LONGEST_MS = 1e9
"""Eleven days; none is 0 or less either."""
SAMPLES_PER_TURN = 500
"""At most so many enter the bootstrap; thinning widens the interval, never narrows it."""


@dataclass(frozen=True)
class Session:
    """How files are measured on one device."""

    agent: DeviceAgent
    protocol: MeasurementProtocol
    """How long, and how many turns."""
    threads: int
    """How many threads the runtime has."""
    inputs: Inputs
    """The samples that every file is given."""
    on_turn: OnTurn = lambda *_: None
    """Told of each finished turn."""


def compare(session: Session, baseline: Loaded, candidate: Loaded, device: Device) -> Comparison:
    """Measure two files in turns, each turn a fresh process; who goes first alternates.

    Args:
        session: where and how.
        baseline: the original.
        candidate: what shall replace it.
        device: for the record; whether it is emulated is what it or its probe says.

    Raises:
        ArtifactError: a file is not the one described, or the runtime cannot read it.
        TaskError: the inputs do not fit a file.
        DeviceError: the device, its runtime, or the way to it.

    """
    files = {"baseline": baseline, "candidate": candidate}
    probe = session.agent.probe()
    turns: dict[str, list[Turn]] = {name: [] for name in files}
    with inputs_of(files, session.inputs) as paths:
        for number in range(1, session.protocol.turns + 1):
            order = list(files) if number % 2 else list(reversed(files))
            for name in order:
                turn = _turn(session, files[name], paths[name])
                turns[name].append(turn)
                session.on_turn(name, number, turn)
    before, after = (_summarised(session, turns[name], probe.cores) for name in files)
    low, high = speedup_interval(before, after)
    return Comparison(
        device=device.id,
        probe=probe,
        emulated=device.emulated or is_emulated(probe),
        baseline=before,
        candidate=after,
        speedup=before.latency_ms_p50 / after.latency_ms_p50,
        speedup_low=low,
        speedup_high=high,
    )


def measure_file(session: Session, file: Loaded) -> Measurement:
    """Measure one file by itself; errors as in `compare`."""
    turns = []
    with inputs_of({"file": file}, session.inputs) as paths:
        for number in range(1, session.protocol.turns + 1):
            turn = _turn(session, file, paths["file"])
            turns.append(turn)
            session.on_turn("file", number, turn)
    return _summarised(session, turns, session.agent.probe().cores)


def _summarised(session: Session, turns: list[Turn], cores: int) -> Measurement:
    """The figures, with what the device says it was given."""
    told = [turn.distinct_inputs for turn in turns if turn.distinct_inputs is not None]
    inputs = MeasuredInputs(split=session.inputs.split, samples=min(told)) if told else None
    return summarise(turns, cores).model_copy(update={"inputs": inputs})


def summarise(turns: list[Turn], cores: int) -> Measurement:
    """The figures of all turns; percentiles are of the samples of all turns together.

    Where there are summaries only: see Measurement.
    """
    p50, p90, p99 = _percentiles(turns)
    return Measurement(
        turns=tuple(turns),
        latency_ms_p50=p50,
        latency_ms_p90=p90,
        latency_ms_p99=p99,
        first_inference_ms=float(np.median([turn.first_inference_ms for turn in turns])),
        init_time_ms=float(np.median([turn.init_time_ms for turn in turns])),
        peak_rss_bytes=max(turn.peak_rss_bytes for turn in turns),
        energy_mj_per_inference=energy_mj_per_inference(turns),
        notes=notes(turns, cores),
    )


def _percentiles(turns: list[Turn]) -> tuple[float, float, float]:
    """p50, p90 and p99, the latter two as upper bounds where samples are missing."""
    central = np.concatenate([turn.central_ms for turn in turns])
    p50, p90, p99 = (float(value) for value in np.percentile(central, [50, 90, 99]))
    summaries = [turn.summary for turn in turns if turn.summary is not None]
    if not summaries:
        return p50, p90, p99
    largest = max(summary.latency_ms_max for summary in summaries)
    p95s = [summary.latency_ms_p95 for summary in summaries]
    return p50, max((largest if p95 is None else p95) for p95 in p95s), largest


def speedup_interval(baseline: Measurement, candidate: Measurement) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the ratio of medians, with a fixed seed.

    Turns are resampled first and their samples second (Davison & Hinkley, 1997, section 3.8):
    samples of one turn share its luck, so by themselves they would promise too much. Turns with
    the same number ran next to each other and are drawn together. A turn that has no samples
    counts with its median, so that the interval is that of the turns alone.
    """
    pairs = [
        (_thin(before.central_ms), _thin(after.central_ms))
        for before, after in zip(baseline.turns, candidate.turns, strict=True)
    ]
    generator = np.random.default_rng(0)
    ratios = []
    for _ in range(RESAMPLES):
        drawn = [pairs[index] for index in generator.integers(len(pairs), size=len(pairs))]
        before, after = (
            np.median(
                np.concatenate([generator.choice(pair[side], pair[side].size) for pair in drawn])
            )
            for side in (0, 1)
        )
        ratios.append(before / after)
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return float(low), float(high)


def _thin(samples: tuple[float, ...]) -> NDArray[np.float64]:
    """Evenly spaced, so that a drift stays in."""
    step = -(-len(samples) // SAMPLES_PER_TURN)
    return np.asarray(samples[::step])


def _turn(session: Session, file: Loaded, inputs: Path) -> Turn:
    agent = session.agent
    turn = agent.measure(file, session.threads, inputs, session.protocol)
    if not turn.central_ms or not all(0 < ms < LONGEST_MS for ms in turn.central_ms):
        raise AgentError(
            f"{agent.transport.name}: a turn of {file.file.name} has no latencies, or some that"
            " cannot be; the device's clock or its answer is wrong"
        )
    return turn


@contextmanager
def inputs_of(files: dict[str, Loaded], inputs: Inputs) -> Iterator[dict[str, Path]]:
    """Per file, its own .npz: its names, and quantised where it takes integers."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        paths = {name: Path(folder) / f"{name}.npz" for name in files}
        for name, file in files.items():
            file.artifact.verify()
            write_feeds(paths[name], inputs.feeds(file.artifact))
        yield paths
