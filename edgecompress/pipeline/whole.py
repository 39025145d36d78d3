"""deploy.yaml and a target in, a verdict out."""

import platform
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecompress import __version__
from edgecompress.compress.layers import rows
from edgecompress.inspect import layer_dtypes
from edgecompress.pipeline.asked import Asked
from edgecompress.pipeline.files import Built, build, float_model, int8_model
from edgecompress.pipeline.formats import FORMATS
from edgecompress.pipeline.job import Job, Point
from edgecompress.pipeline.measuring import There, look_there, measure_halfway, on_device
from edgecompress.pipeline.models import finetuned, original, pruned, quantized, sparsified
from edgecompress.pipeline.outputs import rebuilder
from edgecompress.pipeline.pushing import push_judged
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import Progress
from edgecompress.report import judge
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Comparison, Inspection, Measurement
from edgecompress.spec.native import native_cpu
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.recipe import Recipe, trains_again
from edgecompress.spec.report import (
    LayerRow,
    MetricValue,
    ModelReport,
    Report,
    ReportArtifact,
    StagePoint,
    VerdictResult,
)
from edgecompress.store import Store
from edgecompress.task.load import fingerprint, load_task, original_model
from edgecompress.task.seed import seed_everything


def deploy(asked: Asked, progress: Progress) -> Iterator[Report]:
    """See `edgecompress.pipeline.deploy_all`."""
    wanted, recipes = asked.wanted, asked.recipes
    with progress.stage("load task"):
        # A task may make up its data or its untrained weights when it is asked for them.
        seed_everything(wanted.seed, 0)
        task = load_task(wanted.task, asked.folder)
        model = original_model(task)
        digest = fingerprint(task, wanted.task, asked.folder, model)
    store = Store(asked.folder / "runs", progress.note)
    for index, recipe in enumerate(recipes):
        notes = trains_again(recipe, recipes[:index])
        for note in notes:
            progress.note(note)
        run_id = store.start_run(recipe.target.name, recipe.digest())
        try:
            with TemporaryDirectory(dir=store.work_dir("agent")) as folder:
                stages = Stages(store, run_id, progress, wanted.seed)
                job = Job(recipe, native_cpu(), task, model, digest, stages, Path(folder))
                name = recipe.target.name
                report = _run(
                    job,
                    asked.measured_on.get(name),
                    store.run_dir(run_id),
                    notes,
                    pushes=name in asked.sent_to,
                )
            finished = _finish(store, run_id, report)
        finally:
            store.end_run(run_id)
        yield finished


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
    if integer is None:
        model = float_model(job, recovered)
        candidate = build(job, model, here)
        halfway = None
    else:
        model = int8_model(job, integer)
        candidate = build(job, model, here)
        halfway = None if recovered is start else build(job, float_model(job, recovered), here)

    def reports(there: There | None) -> tuple[ModelReport, ModelReport]:
        if there is None:
            return _model_report(baseline, None), _model_report(candidate, None)
        chosen = replace(candidate, inspection=there.inspection)
        comparison = there.comparison
        return (
            _model_report(baseline, comparison.baseline),
            _model_report(chosen, comparison.candidate),
        )

    def verdict(there: There | None, pushed: Pushed | None = None) -> VerdictResult:
        return judge(
            job.recipe.config.budgets,
            *reports(there),
            there and there.comparison,
            builds_engine=job.recipe.target.runtime.name == "tensorrt",
            pushed=pushed,
        )

    there, pushed = None, None
    if device is not None and pushes:
        rebuild = rebuilder(model.module(), job.example_inputs, candidate.artifact.path)
        pushed, there = push_judged(job, device, baseline, candidate, rebuild, verdict)
    elif device is not None:
        with on_device(job, device) as agent:
            there = look_there(job, device, agent, baseline, candidate)
    comparison = there and there.comparison
    before, after = reports(there)
    points = _points(job, device, (smaller, recovered), baseline, halfway, candidate, comparison)
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
        artifacts=_keep_files(job, folder, baseline, candidate),
        stages=tuple(job.stages.done),
        points=points,
        layers=_layer_rows(start, recovered, after.inspection),
        epochs=tuple({(row.stage, row.epoch): row for row in epochs}.values()),
        pushed=pushed,
        notes=(*notes, *_notes(job.recipe, device)),
        versions={
            "edgecompress": __version__,
            "python": platform.python_version(),
            **job.stages.libraries(),
        },
    )


def _finish(store: Store, run_id: str, report: Report) -> Report:
    # Imports matplotlib, which takes a second.
    from edgecompress.report.html import render_html

    store.finish_run(run_id, report, render_html(report))
    return report


def _points(
    job: Job,
    device: Device | None,
    way: tuple[Point, Point],
    baseline: Built,
    halfway: Built | None,
    candidate: Built,
    comparison: Comparison | None,
) -> tuple[StagePoint, ...]:
    smaller, recovered = way
    points = [
        _point("original", baseline, comparison.baseline.latency_ms_p50 if comparison else None)
    ]
    if halfway is not None:
        # An engine for a point of the chart alone would take minutes.
        engine = job.recipe.target.runtime.name == "tensorrt"
        latency = None if device is None or engine else measure_halfway(job, device, halfway)
        if recovered is not smaller and smaller.name == "pruned" and smaller.metric is not None:
            # The same layers as the fine-tuned model, so its latency and cost too.
            points.append(
                StagePoint(
                    name="pruned",
                    metric=smaller.metric,
                    latency_ms_p50=latency,
                    macs=halfway.macs,
                    params=halfway.params,
                )
            )
        points.append(_point(recovered.name, halfway, latency))
    latency = comparison.candidate.latency_ms_p50 if comparison else None
    points.append(_point("shipped", candidate, latency))
    return tuple(points)


def _point(name: str, built: Built, latency: float | None) -> StagePoint:
    return StagePoint(
        name=name,
        metric=built.evaluation.value,
        latency_ms_p50=latency,
        macs=built.macs,
        params=built.params,
    )


def _model_report(built: Built, measured: Measurement | None) -> ModelReport:
    evaluation = built.evaluation
    is_accuracy = evaluation.metric.endswith("Accuracy") and 0 <= evaluation.value <= 1
    return ModelReport(
        accuracy=evaluation.value if is_accuracy else None,
        metric=MetricValue(
            name=evaluation.metric,
            value=evaluation.value,
            higher_is_better=evaluation.higher_is_better,
            samples=evaluation.samples,
        ),
        latency_ms_p50=measured.latency_ms_p50 if measured else None,
        latency_ms_p90=measured.latency_ms_p90 if measured else None,
        latency_ms_p99=measured.latency_ms_p99 if measured else None,
        first_inference_ms=measured.first_inference_ms if measured else None,
        init_time_ms=measured.init_time_ms if measured else None,
        peak_rss_bytes=measured.peak_rss_bytes if measured else None,
        model_size_bytes=built.artifact.size_bytes,
        macs=built.macs,
        params=built.params,
        int8_op_fraction=built.inspection.int8_op_fraction,
        inspection=built.inspection,
        parity=evaluation.parity,
        hops=evaluation.hops,
    )


def _layer_rows(start: Point, end: Point, inspection: Inspection) -> tuple[LayerRow, ...]:
    """Channels before and after, and the type each layer runs in, with a reason where float."""
    dtypes = layer_dtypes(inspection)
    result = []
    for row in end.layers or rows(start.model, start.model, {}):
        found = dtypes.get(row.name)
        reasons = [r for r in (row.reason, found.reason if found else None) if r]
        update = {"dtype": found.dtype if found else None, "reason": "; ".join(reasons) or None}
        result.append(row.model_copy(update=update))
    return tuple(result)


def _keep_files(
    job: Job, folder: Path, baseline: Built, candidate: Built
) -> tuple[ReportArtifact, ...]:
    kept = []
    for name, built in (("model", candidate), ("baseline", baseline)):
        path = folder / f"{name}{FORMATS[built.artifact.format].suffix}"
        job.stages.store.copy_to(built.artifact.sha256, path)
        kept.append(
            ReportArtifact(
                path=str(path), format=built.artifact.format, sha256=built.artifact.sha256
            )
        )
    return tuple(kept)


def _notes(recipe: Recipe, device: Device | None) -> tuple[str, ...]:
    notes = []
    if recipe.scheme.weights.bits == 7 and recipe.config.quantize is not None:
        notes.append(
            "weights use 7 of 8 bits, because this CPU has no VNNI and its int8 kernels would"
            " overflow with 8"
        )
    if device is None:
        notes.append(
            f"no device of target '{recipe.target.name}' is in the inventory: inspected and"
            f" evaluated with the kernels of this machine ({platform.machine()}), not measured"
        )
    return tuple(notes)
