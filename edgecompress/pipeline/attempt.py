"""One plan carried out: files, what the device found of them, and the verdict."""

from dataclasses import dataclass, replace

from edgecompress.artifact import Artifact
from edgecompress.measure.agent import Agent
from edgecompress.pipeline.executable import FloatModel, Int8Model, float_model
from edgecompress.pipeline.files import build, exported_file
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means, keep_metric
from edgecompress.pipeline.looking import looked_at
from edgecompress.pipeline.measuring import (
    DeviceFindings,
    RivalFile,
    measure_halfway,
    measure_on,
    on_device,
)
from edgecompress.pipeline.models import finetuned, noise, original, pruned, quantized, sparsified
from edgecompress.pipeline.pushing import push_judged
from edgecompress.pipeline.reporting import model_report
from edgecompress.pipeline.results import Results
from edgecompress.report.advice import Seen, Shipped
from edgecompress.report.verdict import Judgement, judge
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import ModelReport


@dataclass(frozen=True)
class Attempt:
    """What came of a plan."""

    job: Job
    here: Agent
    results: Results
    there: DeviceFindings | None
    """None: no device was asked."""
    pushed: Pushed | None
    judgement: Judgement

    @property
    def reports(self) -> tuple[ModelReport, ModelReport]:
        """What is reported of baseline and candidate."""
        return _reports(self.results, self.there)


@dataclass(frozen=True)
class Against:
    """What a candidate is held against, beside its own original."""

    rivals: tuple[RivalFile, ...] = ()
    before: Shipped | None = None
    accepts_regression: bool = False
    """As in `Seen`."""

    def and_rival(self, rival: RivalFile) -> "Against":
        return replace(self, rivals=(rival, *self.rivals))


def attempt(job: Job, means: Means, against: Against, *, pushes: bool) -> Attempt:
    """Every stage, in order.

    Args:
        job: the plan.
        means: evaluate here, and measure on a device where there is one.
        against: what else the candidate must not be worse than.
        pushes: whether the model is sent to the device and activated there.

    """
    device = means.device
    # Before hours of training.
    means.here.check(job.runtime.here(job.recipe.target))
    results = results_of(job, means)

    def verdict(there: DeviceFindings | None, pushed: Pushed | None = None) -> Judgement:
        return judge(
            job.recipe.config.budgets,
            *_reports(results, there),
            there and there.comparison,
            Seen(
                noise=results.noise,
                looks=results.looks,
                search=results.search,
                builds_engine=job.runtime.capabilities.builds_engine,
                before=against.before,
                accepts_regression=against.accepts_regression,
                pushed=pushed,
            ),
        )

    # Before anything is pushed, because that cannot be begun again.
    job.stages.check_files()
    there, pushed = None, None
    if device is not None and pushes:
        pushed, there = push_judged(job, device, results, verdict, against.rivals)
    elif device is not None:
        with on_device(job, device) as connected:
            there = measure_on(job, connected, results.baseline, results.candidate, against.rivals)
    return Attempt(job, means.here, results, there, pushed, verdict(there, pushed))


def halfway_ms(job: Job, device: Device | None, results: Results) -> float | None:
    """p50 of the float model between, where it can be measured."""
    if device is None or results.halfway is None:
        return None
    return measure_halfway(job, device, results.halfway)


def file_of(job: Job) -> tuple[str, Artifact]:
    """The file that a plan without a search ends in, and the key of the stage that wrote it."""
    start = original(job, job.model)
    recovered = finetuned(job, pruned(job, sparsified(job, start), start), start)
    integer = quantized(job, recovered, start)
    shipped = float_model(job, recovered, start)
    return exported_file(job, shipped if integer is None else Int8Model(job, integer, start))


def results_of(job: Job, means: Means) -> Results:
    """Every stage that needs no device, but for the speed of what a search would keep in float."""
    start = original(job, job.model)
    as_given = FloatModel(job, start)
    baseline = build(job, as_given, means.here)
    sparse = sparsified(job, start)
    smaller = pruned(job, sparse, start)
    recovered = finetuned(job, smaller, start)
    integer = quantized(job, recovered, start)
    search, halfway = None, None
    if integer is not None:
        integer, search = keep_metric(job, integer, recovered, start, means)
    shipped = (
        float_model(job, recovered, start) if integer is None else Int8Model(job, integer, start)
    )
    candidate = build(job, shipped, means.here)
    if integer is not None and recovered is not start:
        halfway = build(job, FloatModel(job, recovered), means.here)
    return Results(
        start=start,
        sparse=sparse,
        smaller=smaller,
        recovered=recovered,
        integer=integer,
        search=search,
        noise=None if integer is None else noise(job, integer),
        looks=looked_at(job, (baseline, candidate), means.here),
        shipped=shipped,
        baseline=baseline,
        candidate=candidate,
        halfway=halfway,
    )


def _reports(results: Results, there: DeviceFindings | None) -> tuple[ModelReport, ModelReport]:
    """What is reported of baseline and candidate, with what the device found where there is one."""
    baseline, candidate, change = results.baseline, results.candidate, results.change
    if there is None:
        return model_report(baseline, None), model_report(candidate, None, change)
    measured = there.comparison
    chosen = replace(candidate, inspection=there.inspection)
    before = model_report(baseline, measured.baseline)
    after = model_report(chosen, measured.candidate, change)
    return (
        before.model_copy(update={"profile": there.baseline_profile}),
        after.model_copy(update={"profile": there.candidate_profile}),
    )
