"""The work of the stage 'quantize'. Apart from models.py, because torchao takes seconds to import,
which a deploy that finds everything in the store need not spend.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from edgecompress.compress.biases import snap_biases
from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.choose_ranges import calibrate_best
from edgecompress.compress.folding import freeze_statistics
from edgecompress.compress.inputs import settle_input
from edgecompress.compress.joins import torn
from edgecompress.compress.quantize import (
    Captured,
    Prepared,
    Quantized,
    calibrate,
    captured,
    convert,
    forward,
    prepare_captured,
)
from edgecompress.compress.refine import refine
from edgecompress.compress.score import validate
from edgecompress.compress.sensitivity import measure_noise
from edgecompress.compress.sparsify import Masks, apply_masks, confirm_masks
from edgecompress.compress.step_size import learn_scales, settle_scales
from edgecompress.compress.train import Training, train
from edgecompress.compress.units import units_of
from edgecompress.contract.levels import takes_levels
from edgecompress.errors import ModelError
from edgecompress.pipeline.job import Job, Point, Trained
from edgecompress.pipeline.stages import Output
from edgecompress.pipeline.training import output_of, training_of
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.spec.report import EpochRow, OperatorNoise
from edgecompress.task.base import inputs_of
from edgecompress.task.guard import user_code


def quantize(job: Job, spec: QuantizeSpec, before: Point, teacher: Point, work_dir: Path) -> Output:
    """Calibrate, choose what stays in float, and fine-tune with fake quantisation."""
    traced = captured(before.model, job.example_inputs, spec)
    keep, because = _keep_float(job, spec, traced)
    prepared = _calibrated(job, spec, traced, keep)
    _refine(job, spec, prepared)
    rows: tuple[EpochRow, ...] = ()
    if spec.train is not None:
        training = training_of(job, "qat", spec.train, work_dir, teacher)
        rows = fine_tune(prepared, training, spec, before.masks())
    snap_biases(prepared)

    def run(*inputs: Tensor) -> Any:
        return forward(prepared, inputs)

    metric = validate(prepared.graph, job.task, run)
    return output_of(
        Trained(
            metric=metric,
            epochs=rows,
            keep_float=keep,
            kept_because=because,
            notes=prepared.notes,
        ),
        prepared.graph,
    )


def rebuild(
    job: Job,
    spec: QuantizeSpec,
    before: Point,
    keep: tuple[str, ...],
    state: dict[str, Tensor],
) -> Quantized:
    """What `quantize` or `search_sets` made, from its weights and ranges.

    Raises:
        ModelError: weights that were pruned are no longer zero.

    """
    traced = captured(before.model, job.example_inputs, spec)
    prepared = prepared_for(job, spec, traced, keep)
    prepared.graph.load_state_dict(state)
    CalibrationRun(prepared.graph).freeze()
    quantized = convert(prepared)
    confirm_masks(quantized.weights(), before.masks())
    return quantized


def noise_of(job: Job, quantized: Quantized) -> Output:
    """What quantising cost, operator by operator, on the task's validation data."""
    noise = measure_noise(quantized.prepared, job.task.validation_data())
    return Output(noise.model_dump(mode="json"))


def _calibrated(job: Job, spec: QuantizeSpec, traced: Captured, keep: tuple[str, ...]) -> Prepared:
    """The prepared graph, with ranges from the calibration data and `keep` in float."""
    prepared = prepared_for(job, spec, traced, keep)
    find_ranges(job, spec, prepared)
    return prepared


def prepared_for(job: Job, spec: QuantizeSpec, traced: Captured, keep: tuple[str, ...]) -> Prepared:
    """The prepared graph, with `keep` in float, before it has seen any data."""
    prepared = prepare_captured(traced, job.recipe.scheme, spec.ranges, keep)
    declared = job.task.preprocessing()
    if takes_levels(declared):
        settle_input(prepared, declared)
    return prepared


def find_ranges(job: Job, spec: QuantizeSpec, prepared: Prepared) -> None:
    """Take ranges from the calibration data, as the recipe asks."""
    with user_code(f"the model on a batch of {type(job.task).__name__}.calibration_data()"):
        if spec.ranges == "auto":
            chosen = calibrate_best(prepared, job.calibration)
            prepared.notes += (chosen,)
            job.stages.progress.note(chosen)
        else:
            calibrate(prepared, job.calibration)


def _refine(job: Job, spec: QuantizeSpec, prepared: Prepared) -> None:
    """Round and correct on the calibration data, as the recipe asks."""
    progress = job.stages.progress

    def on_layer(done: int, count: int, name: str) -> None:
        progress.step(done, count, f"layer {done + 1} of {count}: {name}")

    known = len(prepared.notes)
    with user_code(f"the model on a batch of {type(job.task).__name__}.calibration_data()"):
        refine(prepared, job.calibration, spec, on_layer)
    for note in prepared.notes[known:]:
        progress.note(note)


def _keep_float(
    job: Job, spec: QuantizeSpec, traced: Captured
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What stays in float; and of what nobody has named among it, why."""
    because = _torn(job, spec, traced)
    keep = (*spec.keep_float, *because)
    if spec.keep_float_sensitive:
        prepared = _calibrated(job, spec, traced, keep)
        ranking = measure_noise(prepared, job.task.validation_data()).operators
        worst = {row.name: cost_of(row) for row in ranking[: spec.keep_float_sensitive]}
        because, keep = because | worst, (*keep, *worst)
    return keep, because


def _torn(job: Job, spec: QuantizeSpec, traced: Captured) -> dict[str, str]:
    """Concatenations that would lose a member in eight bits, of those that would have them."""
    with user_code(f"the model on a batch of {type(job.task).__name__}.calibration_data()"):
        reasons = torn(traced, job.recipe.scheme, map(inputs_of, job.calibration))
    if not reasons:
        return {}
    prepared = prepare_captured(traced, job.recipe.scheme, "minmax", spec.keep_float)
    quantised = {unit.name for unit in units_of(prepared.graph)}
    return {name: reason for name, reason in reasons.items() if name in quantised}


def cost_of(row: OperatorNoise) -> str:
    """'alone in int8 it leaves 21.8 dB at the outputs'"""
    if row.alone_db is None:
        return "its cost is not known"
    return f"alone in int8 it leaves {row.alone_db:.1f} dB at the outputs"


def fine_tune(
    prepared: Prepared, training: Training, spec: QuantizeSpec, masks: Masks
) -> tuple[EpochRow, ...]:
    """Train the fake-quantised graph, and its scales where `spec` says so; after `freeze_at` of the
    epochs ranges and statistics stay.
    """
    if not prepared.free_batch:
        raise ModelError(
            "quantize.mode qat: the model fixes its batch size, so it cannot be trained as a graph;"
            " use x.shape[0] in place of a number when it reshapes, or mode: ptq"
        )
    graph, epochs = prepared.graph, training.spec.epochs
    run = CalibrationRun(graph)
    # At least the last epoch trains what will ship: fixed ranges and statistics.
    frozen_from = min(int(spec.freeze_at * epochs), epochs - 1)

    def before_epoch(epoch: int) -> None:
        if epoch < frozen_from:
            run.follow()
        else:
            run.freeze()
            freeze_statistics(graph)

    training.before_epoch = before_epoch
    training.best_from = frozen_from
    # Calibrated it can ship already, so fine-tuning can only gain.
    training.keeps_start = True
    training.after_step = lambda: apply_masks(graph, masks)
    if not spec.train_scales:
        return train(graph, training)
    learn_scales(prepared)
    rows = train(graph, training)
    settle_scales(graph)
    return rows
