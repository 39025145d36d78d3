"""Latency and memory of one file, or of two in turns.

For whoever measures in another order: `measure_turns` of `turns`, `summarise`, `speedup_of`; and
`turn_fault` of `validity`, which says whether a turn is to be measured again.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.memory import with_memory
from edgecompress.measure.notes import is_emulated, notes
from edgecompress.measure.statistics import (
    cost_ms,
    drift,
    outliers,
    quantile_intervals,
    ratio_interval,
    ratios,
    variation,
)
from edgecompress.measure.telemetry import energy_mj_per_inference
from edgecompress.measure.turns import Lane, Session, measure_turns
from edgecompress.measure.validity import Rules, turn_fault, validity_of
from edgecompress.spec.comparison import Comparison, RivalKind, RivalResult
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import MeasuredInputs, Measurement, Probe, Turn
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.spec.validity import Finding

AGAIN = 2
"""At most so many times the turns that the protocol asks for."""


@dataclass(frozen=True)
class Rival:
    """What else a candidate must not be slower than, measured in the same turns."""

    kind: RivalKind
    name: str
    target: str
    lane: Lane


class Speedup(NamedTuple):
    """How many times faster one file is than another, with its 95 % interval."""

    value: float
    low: float
    high: float


def compare(
    session: Session,
    baseline: Loaded,
    candidate: Loaded,
    device: Device,
    rivals: Sequence[Rival] = (),
) -> Comparison:
    """Measure two files, and their rivals, in turns, each in a fresh process; the order alternates.

    What was disturbed is measured again, see `_measured`.

    Args:
        session: where and how.
        baseline: the original.
        candidate: what shall replace it.
        device: for the record; whether it is emulated is what it or its probe says.
        rivals: on the same device.

    Raises:
        ArtifactError: a file is not the one described, or the runtime cannot read it.
        TaskError: the inputs do not fit a file.
        DeviceError: the device, its runtime, or the way to it.

    """
    probe = session.agent.probe()
    emulated = device.emulated or is_emulated(probe)
    lanes = {"baseline": Lane(session, baseline), "candidate": Lane(session, candidate)}
    lanes |= {rival.name: rival.lane for rival in rivals}
    measured = _measured(lanes, probe, again=not emulated)
    if not emulated:
        for name in ("baseline", "candidate"):
            measured[name] = _remembered(lanes[name], measured[name])
    before, after = measured["baseline"], measured["candidate"]
    speedup = speedup_of(before, after, session.protocol)
    results = []
    for rival in rivals:
        times = speedup_of(measured[rival.name], after, session.protocol)
        results.append(
            RivalResult(
                kind=rival.kind,
                name=rival.name,
                target=rival.target,
                measurement=measured[rival.name],
                speedup=times.value,
                speedup_low=times.low,
                speedup_high=times.high,
            )
        )
    return Comparison(
        device=device.id,
        probe=probe,
        emulated=emulated,
        baseline=before,
        candidate=after,
        speedup=speedup.value,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        protocol=session.protocol,
        rivals=tuple(results),
    )


def measure_file(session: Session, file: Loaded) -> Measurement:
    """Measure one file by itself; errors as in `compare`."""
    probe = session.agent.probe()
    lane = Lane(session, file)
    return _remembered(lane, _measured({"file": lane}, probe, again=not is_emulated(probe))["file"])


def _remembered(lane: Lane, measured: Measurement) -> Measurement:
    session = lane.session
    if not session.memory:
        return measured
    return with_memory(session.agent, lane.file, session.inputs, measured)


def summarise(
    turns: Sequence[Turn], rules: Rules, discarded: Sequence[Finding] = ()
) -> Measurement:
    """The figures of all turns, and whether they may decide anything.

    Percentiles are of the samples of all turns together; where there are summaries only, see
    Measurement.
    """
    validity = validity_of(turns, rules)
    central = np.concatenate([turn.central_ms for turn in turns])
    p50, p90, p95, p99 = (float(value) for value in np.percentile(central, [50, 90, 95, 99]))
    has_samples = all(turn.summary is None for turn in turns)
    bound, largest = max(map(_p95_at_most, turns)), max(map(_largest_ms, turns))
    samples = [ms for turn in turns for ms in turn.latency_ms]
    rates = [turn.samples_per_s for turn in turns if turn.samples_per_s is not None]
    return Measurement(
        turns=tuple(turns),
        latency_ms_p50=p50,
        latency_ms_p90=p90 if has_samples else bound,
        latency_ms_p95=p95 if has_samples else bound,
        latency_ms_p99=p99 if has_samples else largest,
        latency_ms_max=largest,
        intervals=quantile_intervals(turns),
        drift=float(np.median([drift(turn.latency_ms) for turn in turns])) if has_samples else None,
        variation=variation(samples),
        variation_of_turns=variation([cost_ms(turn) for turn in turns]),
        outliers=sum(outliers(turn.latency_ms) for turn in turns) if has_samples else None,
        samples_per_s=float(np.median(rates)) if len(rates) == len(turns) else None,
        first_inference_ms=float(np.median([turn.first_inference_ms for turn in turns])),
        init_time_ms=float(np.median([turn.init_time_ms for turn in turns])),
        peak_rss_bytes=max(turn.peak_rss_bytes for turn in turns),
        energy_mj_per_inference=energy_mj_per_inference(turns),
        notes=notes(turns, validity, rules.protocol),
        validity=validity,
        discarded=tuple(discarded),
    )


def speedup_of(before: Measurement, after: Measurement, protocol: MeasurementProtocol) -> Speedup:
    """How many times faster `after` is; turns with one index ran next to each other."""
    throughput = protocol.protocol == "throughput"
    found = ratios(before.turns, after.turns, throughput=throughput)
    low, high = ratio_interval(found, [1.0] * len(found))
    if any(turn.bursts_ms is not None for turn in (*before.turns, *after.turns)):
        # What both took in the same moments. Their percentiles are of unlike moments, some of them.
        value = float(np.exp(np.mean(np.log(found))))
    elif throughput:
        value = float(np.median(_costs(before.turns)) / np.median(_costs(after.turns)))
    else:
        value = before.latency_ms_p50 / after.latency_ms_p50
    # The ratio of the medians of all samples is not the mean of the turns' own ratios.
    return Speedup(value, min(low, value), max(high, value))


def _costs(turns: Sequence[Turn]) -> list[float]:
    return [cost_ms(turn, throughput=True) for turn in turns]


def _measured(lanes: Mapping[str, Lane], probe: Probe, *, again: bool) -> dict[str, Measurement]:
    """Measure files in rounds of one turn each, until as many rounds count as the protocol asks
    for, or there were AGAIN times as many.

    A round counts if nothing befell any of its turns. Where what counts is not valid as a whole, it
    is measured anew, within the same bound. Where too few count, all are kept, and are invalid.
    `again`: false where nothing follows from the figures, as on an emulator; each runs alone there.
    """
    session = next(iter(lanes.values())).session
    rules, wanted = Rules(session.protocol, probe.cores), session.protocol.turns
    discarded: dict[str, list[Finding]] = {name: [] for name in lanes}
    left = deque(range(1, (AGAIN if again else 1) * wanted + 1))
    files = {name: lane.file for name, lane in lanes.items()}
    with inputs_of(files, session.inputs) as inputs:
        while True:
            tried: list[dict[str, Turn]] = []
            counted: list[dict[str, Turn]] = []
            faults: list[tuple[str, Finding]] = []
            while left and len(counted) < wanted:
                turns = _round(lanes, inputs, left.popleft(), beside=again)
                told = [(name, turn_fault(turn, rules)) for name, turn in turns.items()]
                befell = [(name, fault) for name, fault in told if fault is not None]
                tried.append(turns)
                faults += befell
                if not befell:
                    counted.append(turns)
            enough = len(counted) == wanted
            for name, fault in faults if enough else ():
                discarded[name].append(fault)
            chosen = counted if enough else tried
            measured = {
                name: _summarised(
                    session, [turns[name] for turns in chosen], rules, discarded[name]
                )
                for name in lanes
            }
            reasons = {name: _reasons(measurement) for name, measurement in measured.items()}
            if len(left) < wanted or not any(reasons.values()):
                return measured
            for name, against in reasons.items():
                discarded[name] += against[:1]


def _round(
    lanes: Mapping[str, Lane], inputs: Mapping[str, Path], number: int, *, beside: bool
) -> dict[str, Turn]:
    """One turn of each file; the order alternates."""
    names = list(lanes) if number % 2 else list(reversed(list(lanes)))
    turns = measure_turns({name: lanes[name] for name in names}, inputs, beside=beside)
    for name in names:
        lanes[name].session.on_turn(name, number, turns[name])
    return turns


def _summarised(
    session: Session, turns: Sequence[Turn], rules: Rules, discarded: Sequence[Finding]
) -> Measurement:
    """The figures, with what the device says it was given."""
    told = [turn.distinct_inputs for turn in turns if turn.distinct_inputs is not None]
    inputs = MeasuredInputs(split=session.inputs.split, samples=min(told)) if told else None
    return summarise(turns, rules, discarded).model_copy(update={"inputs": inputs})


def _reasons(measurement: Measurement) -> tuple[Finding, ...]:
    return () if measurement.validity is None else measurement.validity.reasons


def _largest_ms(turn: Turn) -> float:
    if turn.summary is not None:
        return turn.summary.latency_ms_max
    return max(turn.latency_ms) if turn.latency_ms_max is None else turn.latency_ms_max


def _p95_at_most(turn: Turn) -> float:
    """An upper bound, where a tool tells so much."""
    if turn.summary is None or turn.summary.latency_ms_p95 is None:
        return _largest_ms(turn)
    return turn.summary.latency_ms_p95
