"""The work of the stage 'keep float': sets of operators are left in float and held against the
metric. Apart from keeping.py, because torchao takes seconds to import.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from edgecompress.compress.biases import snap_biases
from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.carry import carry_ranges, carry_refinements, carry_weights
from edgecompress.compress.checkpoint import to_bytes
from edgecompress.compress.mixed import Names, Simulation, families_of, search
from edgecompress.compress.quantize import (
    Captured,
    Prepared,
    captured,
    forward,
    run_batch,
)
from edgecompress.compress.score import Limit, Reference, reference
from edgecompress.compress.sensitivity import affordable, held_out_inputs, measure_noise
from edgecompress.compress.stepping import Stepper, shares_of
from edgecompress.compress.units import Unit, units_of
from edgecompress.pipeline.float_sets import Aim, Candidate, Searched
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.quantizing import cost_of, find_ranges, prepared_for
from edgecompress.pipeline.stages import Output
from edgecompress.spec.base import digest
from edgecompress.spec.report import KeptOperator, OperatorNoise
from edgecompress.store import is_sealed, read_sealed, write_sealed
from edgecompress.task.base import one_by_one

_WORK = 2.0e11
"""Multiplications that all simulations together may take: a minute on one core."""
_RUNS_PER_OPERATOR = 4
_USED = "used files"
"""The key of the files that the trials read, beside what was tried."""


class Trials:
    """Whether the model with given operators in float keeps the metric; remembered across a kill.

    Args:
        aim: what is asked of which model.
        reference: the model before quantising, as `scored_in_float` gives it.
        work_dir: the stage's.

    """

    def __init__(self, aim: Aim, reference: Reference, work_dir: Path) -> None:
        self._aim, self._job, self._work_dir = aim, aim.job, work_dir
        self.limit = Limit(aim.job.task, reference, aim.max_drop)
        """What the model before quantising reaches, and what may be lost of it."""
        self._everything = aim.point.quantized.prepared
        """The model with all operators in int8."""
        self._record = work_dir / "trials.json"
        self._used = aim.job.stages.used
        self._known = self._from_before()

    def _from_before(self) -> dict[str, Any]:
        """What was found before a kill, unless it is not as it was written, or a file of the task
        has changed since.
        """
        if not is_sealed(self._record):
            return {}
        known: dict[str, Any] = json.loads(read_sealed(self._record))
        if self._used is not None:
            if self._used.differing(known[_USED]) is not None:
                return {}
            self._used.add(known[_USED])
        return {key: value for key, value in known.items() if key != _USED}

    def simulated(self, names: Names) -> bool:
        """Whether the metric is kept, by a run that steps through the graph with all in int8: no
        other graph has to be made, and tensors that would get other scales have those of this one.
        """
        key = f"simulated {digest(sorted(names))}"
        if key not in self._known:
            units = [unit for unit in self._units if unit.name not in names]

            def run(*inputs: Tensor) -> Any:
                return self._stepper.run_mixed(inputs, units)

            def run_all(*inputs: Tensor) -> Any:
                return run(*inputs) if self._everything.free_batch else one_by_one(run, inputs)

            self._note(key, self.limit.kept_metric(run_all))
        return self._known[key] is not None

    def metric(self, names: Names) -> float | None:
        """The metric of the graph that would ship; None where it is not kept."""
        key, state = digest(sorted(names)), self.state(names)
        if key not in self._known or (self._known[key] is not None and not is_sealed(state)):
            prepared = self._prepared(names)

            def run(*inputs: Tensor) -> Any:
                return forward(prepared, inputs)

            metric = self.limit.kept_metric(run)
            if metric is not None:
                write_sealed(state, to_bytes(prepared.graph.state_dict()))
            self._note(key, metric)
        found: float | None = self._known[key]
        return found

    def keeps(self, names: Names) -> bool:
        return self.metric(names) is not None

    def work(self, names: Names) -> float:
        """Share of the model's multiplications and elements that it computes in float."""
        return sum(self._shares.get(name, 0.0) for name in names)

    def state(self, names: Names) -> Path:
        """Weights and ranges of a set whose metric is known."""
        return self._work_dir / f"{digest(sorted(names))}.pt"

    def _prepared(self, names: Names) -> Prepared:
        """A prepared graph whose ranges are those of the model with all in int8; only tensors that
        shared a scale there, and do no longer, are calibrated.
        """
        job, spec, everything = self._job, self._aim.spec, self._everything
        keep = (*self._aim.point.trained.keep_float, *names)
        prepared = prepared_for(job, spec, self._traced, keep)
        if spec.train is not None:
            carry_weights(everything, prepared)
        if not carry_ranges(everything, prepared):
            find_ranges(job, spec, prepared)
            carry_ranges(everything, prepared)
        carry_refinements(everything, prepared)
        CalibrationRun(prepared.graph).freeze()
        snap_biases(prepared)
        return prepared

    @cached_property
    def _traced(self) -> Captured:
        return captured(self._aim.before.model, self._job.example_inputs, self._aim.spec)

    @cached_property
    def _shares(self) -> dict[str, float]:
        return shares_of(self._everything)

    @cached_property
    def _stepper(self) -> Stepper:
        return Stepper(self._everything.graph)

    @cached_property
    def _units(self) -> tuple[Unit, ...]:
        return units_of(self._everything.graph)

    def _note(self, key: str, outcome: Any) -> None:
        self._known[key] = outcome
        files = {} if self._used is None else self._used.taken()
        write_sealed(self._record, json.dumps({**self._known, _USED: files}).encode())
        kept = sum(value is not None for value in self._known.values())
        self._job.stages.progress.step(
            len(self._known), 0, f"{len(self._known)} tried, {kept} keep the metric"
        )


def scored_in_float(aim: Aim) -> Reference:
    """The metric of the model before quantising."""
    model, prepared = aim.before.model.eval(), aim.point.quantized.prepared

    def run(*inputs: Tensor) -> Any:
        return run_batch(model, inputs, prepared.free_batch)

    return reference(aim.job.task, run)


def search_sets(
    aim: Aim, in_float: Reference, times_us: Mapping[str, float], work_dir: Path
) -> Output:
    """Sets that keep the metric, with their weights and ranges; none where it is kept already.

    `times_us`: how much longer an operator takes in float, of those where that was measured.
    """
    trials, job = Trials(aim, in_float, work_dir), aim.job
    wanted = in_float.metric
    if trials.limit.holds(aim.point.trained.metric):
        return _output(Searched(float_metric=wanted, keeps_in_int8=True))
    prepared = aim.point.quantized.prepared
    noise = measure_noise(prepared, job.task.validation_data())
    simulation = _simulation(job, prepared)
    sets = search(families_of(noise, simulation, times_us), simulation, trials)
    candidates = tuple(_candidate(trials, label, names) for label, names in sets)
    searched = Searched(
        float_metric=wanted,
        keeps_in_int8=False,
        candidates=candidates,
        costs=_costs(noise.operators),
    )
    return _output(searched, [trials.state(names) for _, names in sets])


def _candidate(trials: Trials, label: str, names: Names) -> Candidate:
    metric = trials.metric(names)
    assert metric is not None, "only what keeps the metric is found"
    return Candidate(label=label, operators=names, metric=metric, float_work=trials.work(names))


def _simulation(job: Job, prepared: Prepared) -> Simulation:
    units = units_of(prepared.graph)
    samples = max(2, affordable(prepared, _RUNS_PER_OPERATOR * len(units), _WORK))
    batches = held_out_inputs(prepared, job.task.validation_data(), samples)
    return Simulation(Stepper(prepared.graph), units, batches)


def _costs(rows: Sequence[OperatorNoise]) -> tuple[KeptOperator, ...]:
    return tuple(KeptOperator(name=row.name, reason=cost_of(row)) for row in rows)


def _output(searched: Searched, states: Sequence[Path] = ()) -> Output:
    blobs: dict[str, bytes | Path] = {str(i): read_sealed(path) for i, path in enumerate(states)}
    return Output(searched.model_dump(mode="json"), blobs)
