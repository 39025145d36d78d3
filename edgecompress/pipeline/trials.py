"""The work of the stage 'keep float': sets of operators are left in float and held against the
metric. Apart from keeping.py, because torchao takes seconds to import.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from edgecompress.compress.biases import snap_biases
from edgecompress.compress.carry import carry_ranges, carry_weights
from edgecompress.compress.checkpoint import save_checkpoint
from edgecompress.compress.mixed import Names, Simulation, families_of, search
from edgecompress.compress.observers import set_phase
from edgecompress.compress.quantize import (
    Captured,
    Prepared,
    captured,
    forward,
    prepare_captured,
    run_batch,
)
from edgecompress.compress.sensitivity import affordable, held_out_inputs, measure_noise
from edgecompress.compress.stepping import Stepper, shares_of
from edgecompress.compress.train import validate
from edgecompress.compress.units import units_of
from edgecompress.pipeline.job import Job, Point, QuantizedPoint
from edgecompress.pipeline.keeping import Candidate, Searched
from edgecompress.pipeline.quantizing import cost_of, find_ranges
from edgecompress.pipeline.stages import Output
from edgecompress.spec.base import digest
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.spec.report import KeptOperator, OperatorNoise

_WORK = 2.0e11
"""Multiplications that all simulations together may take: a minute on one core."""
_RUNS_PER_OPERATOR = 4
_TOLERANCE = 2.0**-23
"""Relative; metrics are computed in float32, where one point less is not 0.01 exactly."""


class Trials:
    """The metric of the model with given operators in float, kept across a kill."""

    def __init__(
        self, job: Job, spec: QuantizeSpec, point: QuantizedPoint, before: Point, work_dir: Path
    ) -> None:
        self._job, self._spec, self._point, self._before = job, spec, point, before
        self._work_dir = work_dir
        self._record = work_dir / "trials.json"
        found = json.loads(self._record.read_text()) if self._record.exists() else {}
        self._metrics: dict[str, float] = found

    def float_metric(self) -> float:
        """Of the model before quantising."""
        if "float" not in self._metrics:
            model, free_batch = self._before.model, self._point.quantized.prepared.free_batch

            def run(*inputs: Tensor) -> Any:
                return run_batch(model, inputs, free_batch)

            self._note("float", validate(model, self._job.task, run))
        return self._metrics["float"]

    def metric(self, names: Names) -> float:
        key = digest(sorted(names))
        if key not in self._metrics:
            prepared = self._prepared(names)

            def run(*inputs: Tensor) -> Any:
                return forward(prepared, inputs)

            metric = validate(prepared.graph, self._job.task, run)
            save_checkpoint(self.state(names), prepared.graph.state_dict())
            self._note(key, metric)
        return self._metrics[key]

    def state(self, names: Names) -> Path:
        """Weights and ranges of a set whose metric is known."""
        return self._work_dir / f"{digest(sorted(names))}.pt"

    def _prepared(self, names: Names) -> Prepared:
        """Ranges are those of the model with all in int8; calibrated are only those of tensors that
        shared a scale there and do no longer.
        """
        job, spec, everything = self._job, self._spec, self._point.quantized.prepared
        keep = (*self._point.trained.keep_float, *names)
        prepared = prepare_captured(self._traced, job.recipe.scheme, spec.ranges, keep)
        if spec.train is not None:
            carry_weights(everything, prepared)
        if not carry_ranges(everything, prepared):
            find_ranges(job, spec, prepared)
            carry_ranges(everything, prepared)
        set_phase(prepared.graph, "frozen")
        snap_biases(prepared)
        return prepared

    @cached_property
    def _traced(self) -> Captured:
        return captured(self._before.model, self._job.example_inputs)

    def _note(self, key: str, metric: float) -> None:
        self._metrics[key] = metric
        text = json.dumps(self._metrics)
        part = self._record.with_suffix(".part")
        part.write_text(text)
        part.replace(self._record)
        self._job.stages.progress.step(
            len(self._metrics), 0, f"{len(self._metrics)} tried, the last {metric:.4f}"
        )


def search_sets(
    job: Job,
    spec: QuantizeSpec,
    max_drop: float,
    point: QuantizedPoint,
    before: Point,
    work_dir: Path,
) -> Output:
    """Sets that keep the metric, with their weights and ranges; none where it is kept already."""
    trials = Trials(job, spec, point, before, work_dir)
    wanted = trials.float_metric()
    higher = job.task.metric().higher_is_better

    def holds(metric: float) -> bool:
        drop = wanted - metric if higher else metric - wanted
        return drop <= max_drop + _TOLERANCE * max(abs(wanted), abs(metric))

    if holds(point.trained.metric):
        return _output(Searched(float_metric=wanted, keeps_in_int8=True))
    prepared = point.quantized.prepared
    noise = measure_noise(prepared, job.task.validation_data())
    simulation = _simulation(job, prepared)
    sets = search(
        families_of(noise, simulation), simulation, lambda names: holds(trials.metric(names))
    )
    shares = shares_of(prepared)
    candidates = tuple(
        Candidate(
            label=label,
            operators=names,
            metric=trials.metric(names),
            float_work=sum(shares.get(name, 0.0) for name in names),
        )
        for label, names in sets
    )
    searched = Searched(
        float_metric=wanted,
        keeps_in_int8=False,
        candidates=candidates,
        costs=_costs(noise.operators),
    )
    return _output(searched, [trials.state(names) for _, names in sets])


def _simulation(job: Job, prepared: Prepared) -> Simulation:
    units = units_of(prepared.graph)
    samples = max(2, affordable(prepared, _RUNS_PER_OPERATOR * len(units), _WORK))
    batches = held_out_inputs(prepared, job.task.validation_data(), samples)
    return Simulation(Stepper(prepared.graph), units, batches)


def _costs(rows: Sequence[OperatorNoise]) -> tuple[KeptOperator, ...]:
    return tuple(KeptOperator(name=row.name, reason=cost_of(row)) for row in rows)


def _output(searched: Searched, states: Sequence[Path] = ()) -> Output:
    blobs: dict[str, bytes | Path] = {str(index): path for index, path in enumerate(states)}
    return Output(searched.model_dump(mode="json"), blobs)
