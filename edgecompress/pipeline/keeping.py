"""`quantize.max_metric_drop`: which operators stay in float so that quantising keeps the metric.

Searched after fine-tuning, where there is any: what training wins back needs no float. Where none
is found so, it is searched before, and fine-tuning is done again with what was found in float.
The search scores torch's graph, which takes no export for every trial. What it finds is taken only
if its file keeps the metric too; where none does, more is asked of the graph.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.compress.checkpoint import load_state
from edgecompress.compress.score import Limit, Reference
from edgecompress.measure.agent import Agent
from edgecompress.pipeline.executable import Int8Model
from edgecompress.pipeline.files import exported_file, validated
from edgecompress.pipeline.float_sets import Aim, Candidate, Searched
from edgecompress.pipeline.job import Job, Point, QuantizedPoint
from edgecompress.pipeline.measuring import choosing_for, measure_files
from edgecompress.pipeline.models import quantized_as
from edgecompress.pipeline.stages import Output
from edgecompress.pipeline.times import float_times_us
from edgecompress.spec.base import digest, parse
from edgecompress.spec.device import Device
from edgecompress.spec.report import FloatSearch, FloatSet
from edgecompress.store import StageRecord

if TYPE_CHECKING:
    from edgecompress.compress.quantize import Quantized

_MEASURED = 4
"""So many sets are measured at most, those with the least work in float; and so many have files."""
_SEARCHES = 3
"""How often at most more is asked of torch's graph, because the files lose more than it."""
_ALL_INT8 = -1
"""Stands where a set's index would."""
_AS_FAST = 1.03
"""A set that takes so many times the fastest's latency is as fast, as far as a clock can tell."""


@dataclass(frozen=True)
class Means:
    """What tells how good and how fast a file is."""

    here: Agent
    device: Device | None
    """The device that measures sets; None: none is at hand."""


def keep_metric(
    job: Job, point: QuantizedPoint, before: Point, teacher: Point, means: Means
) -> tuple[QuantizedPoint, FloatSearch | None]:
    """The quantised model with as much in float as it takes to lose no more of the metric on the
    validation data than `quantize.max_metric_drop`; as it comes where that is not asked, where it
    keeps it already, and where nothing helps.

    Args:
        job: of the deploy.
        point: calibrated, and fine-tuned where the recipe asks for it.
        before: what that was made of.
        teacher: whom fine-tuning distils from.
        means: to compare sets by their files.

    """
    spec = job.recipe.config.quantize
    if spec is None or spec.max_metric_drop is None:
        return point, None
    limit = spec.max_metric_drop
    kept, search = _kept(Aim(job, spec, point, before, limit), means)
    if search.sets or search.keeps_in_int8 or spec.train is None:
        return kept, search
    # Trained round what int8 ruins, a model can be lost for float too. It is not with a set that
    # keeps the metric before training, which starts from there and never ships what is worse.
    untrained = spec.untrained()
    calibrated = quantized_as(job, untrained, before, teacher)
    chosen, first = _kept(Aim(job, untrained, calibrated, before, limit), means)
    if not first.sets:
        return point, search
    keep = {"keep_float": chosen.trained.keep_float, "keep_float_sensitive": 0}
    again = quantized_as(job, spec.model_copy(update=keep), before, teacher)
    again.trained = again.trained.model_copy(update={"kept_because": chosen.trained.kept_because})
    missed = {"int8_metric": search.int8_metric, "metric_again": again.trained.metric}
    return again, first.model_copy(update=missed)


@dataclass(frozen=True)
class _SearchOutcome:
    """What one search found, and the model that is taken."""

    point: QuantizedPoint
    search: FloatSearch
    excess: float
    """How much more its file loses than it may."""


def _kept(aim: Aim, means: Means) -> tuple[QuantizedPoint, FloatSearch]:
    """The model with that set in float which is the fastest of those whose files keep the metric;
    where none does, the one whose file loses least.
    """
    best, asked = _search_outcome(aim, means, aim.max_drop), aim.max_drop
    for _ in range(_SEARCHES - 1):
        if not best.excess:
            break
        asked -= best.excess
        stricter = _search_outcome(aim, means, asked)
        if not stricter.search.sets or stricter.excess >= best.excess:
            break
        best = stricter
    return best.point, best.search


def _search_outcome(aim: Aim, means: Means, asked: float) -> _SearchOutcome:
    """Search sets with which torch's graph loses no more than `asked`, and try their files."""
    record = _searched(replace(aim, max_drop=asked), means)
    searched = parse(Searched, record.result, f"stage {record.name}")
    points = [_point(aim, record, index) for index in range(len(searched.candidates))]
    latencies = _latencies(aim.job, points, searched, means.device)
    order = _by_preference(searched.candidates, latencies)
    tried = {index: points[index] for index in order[:_MEASURED]}
    if searched.keeps_in_int8:
        tried = {_ALL_INT8: aim.point}
    chosen, metrics, excess = _first_that_keeps(aim, means, searched.float_metric, tried)
    sets = tuple(
        FloatSet(
            label=candidate.label,
            operators=candidate.operators,
            metric=candidate.metric,
            latency_ms_p50=latencies.get(index),
            chosen=index == chosen,
            file_metric=metrics.get(index),
        )
        for index, candidate in enumerate(searched.candidates)
    )
    search = FloatSearch(
        max_metric_drop=aim.max_drop,
        searched_drop=None if asked == aim.max_drop else asked,
        float_metric=searched.float_metric,
        int8_metric=aim.point.trained.metric,
        keeps_in_int8=searched.keeps_in_int8,
        sets=sets,
    )
    return _SearchOutcome(tried.get(chosen, aim.point), search, excess)


def _first_that_keeps(
    aim: Aim, means: Means, wanted: float, tried: Mapping[int, QuantizedPoint]
) -> tuple[int, Mapping[int, float], float]:
    """The first model whose file keeps the metric, or else the one whose file loses least; the
    metrics of the files up to it, and how much more it loses than it may.
    """
    limit = Limit(aim.job.task, Reference(metric=wanted, samples=0, beginnings={}), aim.max_drop)
    metrics: dict[int, float] = {}
    for index, point in tried.items():
        metrics[index] = validated(aim.job, Int8Model(aim.job, point), means.here)
        if limit.holds(metrics[index]):
            return index, metrics, 0.0
    excesses = {index: limit.excess(metric) for index, metric in metrics.items()}
    least = min(excesses, key=excesses.__getitem__, default=_ALL_INT8)
    return least, metrics, excesses.get(least, 0.0)


def _by_preference(candidates: Sequence[Candidate], latencies: Mapping[int, float]) -> list[int]:
    """Those as fast as the fastest where they were measured, with the least work in float first;
    then the slower ones, then those not measured.
    """
    limit = _AS_FAST * min(latencies.values(), default=0.0)

    def key(index: int) -> tuple[float, float]:
        latency = latencies.get(index, math.inf)
        return (0.0 if latency <= limit else latency, candidates[index].float_work)

    return sorted(range(len(candidates)), key=key)


def _searched(aim: Aim, means: Means) -> StageRecord:
    reference = reference_of(aim)
    times_us: dict[str, float] = {}
    if not Limit(aim.job.task, reference, aim.max_drop).holds(aim.point.trained.metric):
        times_us = float_times_us(aim, means.device, means.here)

    def work(work_dir: Path) -> Output:
        from edgecompress.pipeline import trials

        return trials.search_sets(aim, reference, times_us, work_dir)

    depends_on = aim.job.depends_on(
        parent=aim.point.key,
        before=aim.before.key,
        max_metric_drop=aim.max_drop,
        times_us=dict(times_us),
    )
    return aim.job.stages.run("keep float", depends_on, work)


def reference_of(aim: Aim) -> Reference:
    """The model before quantising, which all others are held against."""

    def work(_: Path) -> Output:
        from edgecompress.pipeline import trials

        return Output(trials.scored_in_float(aim).model_dump(mode="json"))

    record = aim.job.stages.run("validate float", aim.job.depends_on(before=aim.before.key), work)
    return parse(Reference, record.result, f"stage {record.name}")


def _point(aim: Aim, record: StageRecord, index: int) -> QuantizedPoint:
    """The model with one of the sets in float; its weights and ranges lie in the store."""
    searched = parse(Searched, record.result, f"stage {record.name}")
    candidate = searched.candidates[index]
    point, job = aim.point, aim.job
    drop = f"the metric is {point.trained.metric:.4f} with all in int8, {candidate.metric:.4f} so"
    because = {
        cost.name: f"{cost.reason}; {drop}"
        for cost in searched.costs
        if cost.name in candidate.operators
    }
    trained = point.trained.model_copy(
        update={
            "metric": candidate.metric,
            "keep_float": (*point.trained.keep_float, *candidate.operators),
            "kept_because": {**point.trained.kept_because, **because},
        }
    )

    def build() -> "Quantized":
        from edgecompress.pipeline import quantizing

        state = load_state(job.stages.store.path(record.blobs[str(index)]))
        return quantizing.rebuild(job, aim.spec, aim.before, trained.keep_float, state)

    return QuantizedPoint(digest([record.key, index]), build, trained, point.two_four)


def _latencies(
    job: Job, points: list[QuantizedPoint], searched: Searched, device: Device | None
) -> dict[int, float]:
    """p50 by index of the candidate, of those worth measuring; none where there is nothing to
    choose, or where a clock would say nothing of the board.

    An earlier figure will do for a choice, and a choice that changed with every run would redo all
    that follows it.
    """
    engine = job.recipe.target.runtime.capabilities.builds_engine  # each takes minutes
    if len(points) < 2 or device is None or device.emulated or engine:
        return {}
    order = sorted(range(len(points)), key=lambda i: searched.candidates[i].float_work)[:_MEASURED]
    files = {index: exported_file(job, Int8Model(job, points[index])) for index in order}

    def work(_: Path) -> Output:
        found = measure_files(job, device, {str(index): file for index, (_, file) in files.items()})
        return Output(dict(found))

    depends_on = job.depends_on(
        files=[key for key, _ in files.values()],
        device=device.model_dump(mode="json"),
        protocol=choosing_for(job.recipe.target, device).model_dump(mode="json"),
        threads=job.recipe.target.runtime.threads,
    )
    record = job.stages.run("measure sets", depends_on, work)
    return {int(index): float(str(value)) for index, value in record.result.items()}
