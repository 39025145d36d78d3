"""deploy.yaml and a target in, a verdict out."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecompress import __version__
from edgecompress.pipeline.asked import Asked, TargetFailed
from edgecompress.pipeline.executable import float_model, int8_model
from edgecompress.pipeline.files import build
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means, keep_metric
from edgecompress.pipeline.loading import Loaded, load, watched
from edgecompress.pipeline.measuring import DeviceFindings, measure_on, on_device
from edgecompress.pipeline.models import finetuned, noise, original, pruned, quantized, sparsified
from edgecompress.pipeline.outputs import rebuilder
from edgecompress.pipeline.pushing import push_judged
from edgecompress.pipeline.reporting import (
    chart_points,
    keep_files,
    kept_rows,
    layer_rows,
    model_report,
    run_notes,
)
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import Progress
from edgecompress.report import Seen, judge
from edgecompress.spec.device import Device
from edgecompress.spec.native import native_cpu
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.recipe import Recipe, trains_again
from edgecompress.spec.report import ModelReport, Report, VerdictResult
from edgecompress.store import Store
from edgecompress.task.used import FilesChanged, Used


def deploy(asked: Asked, progress: Progress) -> Iterator[Report | TargetFailed]:
    """See `edgecompress.pipeline.deploy_all`."""
    store = Store(asked.folder / "runs", progress.note)
    with watched(asked.wanted, asked.folder, store) as used:

        def loaded_anew() -> Loaded:
            with progress.stage("load task"):
                return load(asked.wanted, asked.folder, store, used)

        loaded = loaded_anew()
        for index, recipe in enumerate(asked.recipes):
            notes = trains_again(recipe, asked.recipes[:index])
            for note in notes:
                progress.note(note)
            target = _Target(asked, store, used, recipe, notes, progress)
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
                finished = TargetFailed(recipe.target.name, error)
            store.keep_hashes(used.hashes.dump())
            yield finished


@dataclass(frozen=True)
class _Target:
    """One of those that a deploy is for."""

    asked: Asked
    store: Store
    used: Used
    recipe: Recipe
    notes: tuple[str, ...]
    progress: Progress

    def deploy(self, loaded: Loaded) -> Report:
        """One run. Raises FilesChanged when a file that it came from is no longer what it was."""
        store, recipe = self.store, self.recipe
        run_id = store.start_run(recipe.target.name, recipe.digest())
        try:
            store.record_run_stage(run_id, loaded.checked)
            with TemporaryDirectory(dir=store.work_dir("agent")) as folder:
                seed = self.asked.wanted.seed
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
                name = recipe.target.name
                report = _run(
                    job,
                    self.asked.measured_on.get(name),
                    store.run_dir(run_id),
                    self.notes,
                    pushes=name in self.asked.sent_to,
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

    start = original(job, job.model)
    baseline = build(job, float_model(job, start), here)
    sparse = sparsified(job, start)
    smaller = pruned(job, sparse, start)
    recovered = finetuned(job, smaller, start)
    integer = quantized(job, recovered, start)
    search = None
    if integer is not None:
        integer, search = keep_metric(job, integer, recovered, start, Means(here, device))
    if integer is None:
        model = float_model(job, recovered, start)
        candidate = build(job, model, here)
        halfway = None
    else:
        model = int8_model(job, integer, start)
        candidate = build(job, model, here)
        halfway = None if recovered is start else build(job, float_model(job, recovered), here)

    costs = None if integer is None else noise(job, integer)

    def reports(there: DeviceFindings | None) -> tuple[ModelReport, ModelReport]:
        if there is None:
            return model_report(baseline, None), model_report(candidate, None)
        chosen = replace(candidate, inspection=there.inspection)
        comparison = there.comparison
        return (
            model_report(baseline, comparison.baseline),
            model_report(chosen, comparison.candidate),
        )

    def verdict(there: DeviceFindings | None, pushed: Pushed | None = None) -> VerdictResult:
        return judge(
            job.recipe.config.budgets,
            *reports(there),
            there and there.comparison,
            Seen(
                noise=costs,
                search=search,
                builds_engine=job.runtime.capabilities.builds_engine,
                pushed=pushed,
            ),
        )

    # Before anything is pushed, because that cannot be begun again.
    job.stages.check_files()
    there, pushed = None, None
    if device is not None and pushes:
        rebuild = rebuilder(model.module(), job.example_inputs, candidate.artifact.path)
        pushed, there = push_judged(job, device, baseline, candidate, rebuild, verdict)
    elif device is not None:
        with on_device(job, device) as connected:
            there = measure_on(job, connected, baseline, candidate)
    comparison = there and there.comparison
    before, after = reports(there)
    points = chart_points(
        job, device, (smaller, recovered), baseline, halfway, candidate, comparison
    )
    epochs = [*start.epochs, *sparse.epochs, *smaller.epochs, *recovered.epochs]
    if integer is not None:
        epochs += integer.trained.epochs
    return Report(
        run=job.stages.run_id,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        target=job.recipe.target.name,
        device=None if device is None else device.id,
        task=job.recipe.config.task.path,
        recipe_digest=job.recipe.digest(),
        verdict=verdict(there, pushed),
        baseline=before,
        candidate=after,
        speedup=None if comparison is None else comparison.speedup,
        comparison=comparison,
        artifacts=keep_files(job, folder, baseline, candidate),
        stages=tuple(job.stages.done),
        points=points,
        layers=layer_rows(start, recovered, after.inspection),
        epochs=tuple({(row.stage, row.epoch): row for row in epochs}.values()),
        noise=costs,
        kept=() if integer is None else kept_rows(integer),
        search=search,
        pushed=pushed,
        notes=(
            *notes,
            *run_notes(job.recipe, device),
            *((integer.trained.ranges,) if integer and integer.trained.ranges else ()),
            *here.retried,
            *(() if there is None else there.notes),
        ),
        versions={
            "edgecompress": __version__,
            "python": platform.python_version(),
            **job.stages.versions,
        },
    )


def _finish(store: Store, run_id: str, report: Report) -> Report:
    # Imports matplotlib, which takes a second.
    from edgecompress.report.html import render_html

    store.finish_run(run_id, report, render_html(report))
    return report
