"""deploy.yaml and a target in, a verdict out."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecompress import __version__
from edgecompress.measure.agent import Agent
from edgecompress.pipeline.executable import FloatModel, Int8Model
from edgecompress.pipeline.files import build
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means, keep_metric
from edgecompress.pipeline.loading import LoadedTask, load, watched
from edgecompress.pipeline.measuring import (
    DeviceFindings,
    measure_halfway,
    measure_on,
    on_device,
)
from edgecompress.pipeline.models import finetuned, noise, original, pruned, quantized, sparsified
from edgecompress.pipeline.orders import DeployOrder, TargetFailed, TargetOrder
from edgecompress.pipeline.pushing import push_judged
from edgecompress.pipeline.reporting import (
    chart_points,
    keep_files,
    kept_rows,
    layer_rows,
    model_report,
    run_notes,
)
from edgecompress.pipeline.results import Results
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import Progress
from edgecompress.report import Judgement, Seen, judge
from edgecompress.spec.device import Device
from edgecompress.spec.native import native_cpu
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.recipe import Recipe, trains_again
from edgecompress.spec.report import ModelReport, Report
from edgecompress.store import Store
from edgecompress.task.used import FilesChanged, Used


def deploy(order: DeployOrder, progress: Progress) -> Iterator[Report | TargetFailed]:
    """See `edgecompress.pipeline.deploy_all`."""
    store = Store(order.folder / "runs", progress.note)
    with watched(order.wanted, order.folder, store) as used:

        def loaded_anew() -> LoadedTask:
            with progress.stage("load task"):
                return load(order.wanted, order.folder, store, used)

        loaded = loaded_anew()
        before: list[Recipe] = []
        for wish in order.targets:
            notes = trains_again(wish.recipes[0], before)
            before += wish.recipes
            for note in notes:
                progress.note(note)
            target = _Target(order, wish, store, used, notes, progress)
            try:
                try:
                    finished: Report | TargetFailed = target.deploy(loaded)
                except FilesChanged as error:
                    # What the task keeps in memory may be of both; a fresh one is of the new alone.
                    progress.note(f"{str(error).removesuffix('; deploy again')}; begun again")
                    used.restart()
                    loaded = loaded_anew()
                    finished = target.deploy(loaded)
            except Exception as error:
                # The other targets may do without what this one lacks. Ctrl-C is none of these.
                finished = TargetFailed(wish.name, error)
            store.keep_hashes(used.hashes.dump())
            yield finished


@dataclass(frozen=True)
class _Target:
    """One target of a deploy."""

    order: DeployOrder
    wish: TargetOrder
    store: Store
    used: Used
    notes: tuple[str, ...]
    progress: Progress

    def deploy(self, loaded: LoadedTask) -> Report:
        """One run. Raises FilesChanged when a file that it came from is no longer what it was."""
        store, recipe = self.store, self.wish.recipes[0]
        run_id = store.start_run(recipe.target.name, recipe.digest())
        try:
            store.record_run_stage(run_id, loaded.checked)
            with TemporaryDirectory(dir=store.work_dir("agent")) as folder:
                seed = self.order.wanted.seed
                stages = Stages(store, run_id, self.progress, seed, used=self.used)
                job = Job(
                    recipe,
                    native_cpu(),
                    loaded.task,
                    loaded.model,
                    loaded.fingerprint,
                    stages,
                    Path(folder),
                )
                report = _run(
                    job,
                    self.wish.device,
                    store.run_dir(run_id),
                    self.notes,
                    pushes=self.wish.pushes,
                )
            if report.pushed is None:
                stages.check_files()
            return _finish(store, run_id, report)
        finally:
            store.end_run(run_id)


def _run(
    job: Job, device: Device | None, folder: Path, notes: tuple[str, ...], *, pushes: bool
) -> Report:
    """Every stage, in order."""
    here = agent_on(HERE, job.agent_dir)
    results = _results(job, here, device)

    def verdict(there: DeviceFindings | None, pushed: Pushed | None = None) -> Judgement:
        return judge(
            job.recipe.config.budgets,
            *_reports(results, there),
            there and there.comparison,
            Seen(
                noise=results.noise,
                search=results.search,
                builds_engine=job.runtime.capabilities.builds_engine,
                pushed=pushed,
            ),
        )

    # Before anything is pushed, because that cannot be begun again.
    job.stages.check_files()
    there, pushed = None, None
    if device is not None and pushes:
        pushed, there = push_judged(job, device, results, verdict)
    elif device is not None:
        with on_device(job, device) as connected:
            there = measure_on(job, connected, results.baseline, results.candidate)
    halfway_ms = None
    if device is not None and results.halfway is not None:
        halfway_ms = measure_halfway(job, device, results.halfway)
    comparison = there and there.comparison
    judgement = verdict(there, pushed)
    before, after = _reports(results, there)
    return Report(
        run=job.stages.run_id,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        target=job.recipe.target.name,
        device=None if device is None else device.id,
        task=job.recipe.config.task.path,
        recipe_digest=job.recipe.digest(),
        verdict=judgement.verdict(),
        checks=judgement.checks,
        baseline=before,
        candidate=after,
        speedup=None if comparison is None else comparison.speedup,
        comparison=comparison,
        artifacts=keep_files(job, folder, results.baseline, results.candidate),
        stages=tuple(job.stages.done),
        points=chart_points(results, comparison, halfway_ms),
        layers=layer_rows(results.start, results.recovered, after.inspection),
        epochs=results.epochs,
        noise=results.noise,
        kept=() if results.integer is None else kept_rows(results.integer),
        search=results.search,
        pushed=pushed,
        notes=(
            *notes,
            *run_notes(job.recipe, device),
            *results.ranges,
            *here.retried,
            *(() if there is None else there.notes),
        ),
        versions={
            "edgecompress": __version__,
            "python": platform.python_version(),
            **job.stages.versions,
        },
    )


def _results(job: Job, here: Agent, device: Device | None) -> Results:
    """Every stage that needs no device, but for the speed of what a search would keep in float."""
    start = original(job, job.model)
    baseline = build(job, FloatModel(job, start), here)
    sparse = sparsified(job, start)
    smaller = pruned(job, sparse, start)
    recovered = finetuned(job, smaller, start)
    integer = quantized(job, recovered, start)
    search, halfway = None, None
    if integer is not None:
        integer, search = keep_metric(job, integer, recovered, start, Means(here, device))
    shipped = (
        FloatModel(job, recovered, start) if integer is None else Int8Model(job, integer, start)
    )
    candidate = build(job, shipped, here)
    if integer is not None and recovered is not start:
        halfway = build(job, FloatModel(job, recovered), here)
    return Results(
        start=start,
        sparse=sparse,
        smaller=smaller,
        recovered=recovered,
        integer=integer,
        search=search,
        noise=None if integer is None else noise(job, integer),
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


def _finish(store: Store, run_id: str, report: Report) -> Report:
    # Imports jinja2, which nothing else needs.
    from edgecompress.report.html import render_html

    store.finish_run(run_id, report, render_html(report))
    return report
