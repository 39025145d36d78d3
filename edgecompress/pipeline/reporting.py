"""From what the stages made to the rows of a report."""

import platform
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.compress.layers import rows
from edgecompress.pipeline.files import Built
from edgecompress.pipeline.job import Job, Point, QuantizedPoint
from edgecompress.pipeline.results import Results
from edgecompress.report.layer_types import layer_dtypes
from edgecompress.runtimes import formats
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Inspection, Measurement
from edgecompress.spec.preprocessing import ImagePreprocessing
from edgecompress.spec.recipe import Recipe
from edgecompress.spec.report import (
    KeptOperator,
    LayerRow,
    MetricValue,
    ModelReport,
    ReportArtifact,
    StagePoint,
)


def chart_points(
    results: Results, comparison: Comparison | None, halfway_ms: float | None
) -> tuple[StagePoint, ...]:
    """The dots of the chart, from the original to what ships; `halfway_ms`: p50 of the float model
    between, where it was measured.
    """
    smaller, recovered, halfway = results.smaller, results.recovered, results.halfway
    before_ms, after_ms = None, None
    if comparison is not None:
        before_ms = comparison.baseline.latency_ms_p50
        after_ms = comparison.candidate.latency_ms_p50
    points = [_point("original", results.baseline, before_ms)]
    if halfway is not None:
        if recovered is not smaller and smaller.name == "pruned" and smaller.metric is not None:
            # The same layers as the fine-tuned model, so its latency and cost too.
            points.append(
                StagePoint(
                    name="pruned",
                    metric=smaller.metric,
                    latency_ms_p50=halfway_ms,
                    macs=halfway.macs,
                    params=halfway.params,
                )
            )
        points.append(_point(recovered.name, halfway, halfway_ms))
    points.append(_point("shipped", results.candidate, after_ms))
    return tuple(points)


def _point(name: str, built: Built, latency: float | None) -> StagePoint:
    return StagePoint(
        name=name,
        metric=built.evaluation.value,
        latency_ms_p50=latency,
        macs=built.macs,
        params=built.params,
    )


def model_report(
    built: Built, measured: Measurement | None, change: MetricChange | None = None
) -> ModelReport:
    """What is reported of one file; `change`: of the metric from the original's file to it."""
    evaluation = built.evaluation
    is_accuracy = evaluation.metric.endswith("Accuracy") and 0 <= evaluation.value <= 1
    return ModelReport(
        accuracy=evaluation.value if is_accuracy else None,
        metric=MetricValue(
            name=evaluation.metric,
            value=evaluation.value,
            higher_is_better=evaluation.higher_is_better,
            samples=evaluation.samples,
            is_share=evaluation.is_share,
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
        original=evaluation.original,
        readback=evaluation.readback,
        change=change,
    )


def layer_rows(start: Point, end: Point, inspection: Inspection) -> tuple[LayerRow, ...]:
    """Channels before and after, and the type each layer runs in, with a reason where float."""
    dtypes = layer_dtypes(inspection)
    result = []
    for row in end.layers or rows(start.model, start.model, {}):
        layer = dtypes.get(row.name)
        reasons = [r for r in (row.reason, layer.reason if layer else None) if r]
        update = {"dtype": layer.dtype if layer else None, "reason": "; ".join(reasons) or None}
        result.append(row.model_copy(update=update))
    return tuple(result)


def kept_rows(point: QuantizedPoint) -> tuple[KeptOperator, ...]:
    """What stays in float by the recipe, each with its reason."""
    because = point.trained.kept_because
    return tuple(
        KeptOperator(name=name, reason=because.get(name, "named in quantize.keep_float"))
        for name in point.trained.keep_float
    )


def keep_files(
    job: Job, folder: Path, baseline: Built, candidate: Built
) -> tuple[ReportArtifact, ...]:
    kept = []
    for name, built in (("model", candidate), ("baseline", baseline)):
        path = folder / f"{name}{formats()[built.artifact.format][0].suffix}"
        job.stages.store.copy_to(built.artifact.sha256, path)
        kept.append(
            ReportArtifact(
                path=str(path), format=built.artifact.format, sha256=built.artifact.sha256
            )
        )
    return tuple(kept)


def run_notes(recipe: Recipe, device: Device | None) -> tuple[str, ...]:
    notes = []
    quantize = recipe.config.quantize
    if quantize is not None and recipe.scheme.weights.bits == 7:
        if recipe.scheme.same_integers:
            why = "with which all int8 kernels round alike"
        elif recipe.target.quantization.weights.bits == 7:
            why = f"as target '{recipe.target.name}' says"
        else:
            why = "because this CPU has no VNNI and its int8 kernels would overflow with 8"
        notes.append(f"weights use 7 of 8 bits, {why}")
    if device is None:
        notes.append(
            f"no device of target '{recipe.target.name}' is in the inventory: inspected and"
            f" evaluated with the kernels of this machine ({platform.machine()}), not measured"
        )
    return tuple(notes)


def input_notes(artifact: Artifact) -> tuple[str, ...]:
    """Why a file is given floats, where the task would rather give it levels."""
    declared = artifact.preprocessing
    if not isinstance(declared, ImagePreprocessing) or not declared.because:
        return ()
    return (f"the file is given normalised floats, and not levels: {declared.because}",)
