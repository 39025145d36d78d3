"""The stages that train: original -> pruned -> fine-tuned -> quantised.

Each gives a `Point`: what the store knows of it, and the live model, which is rebuilt only when
somebody asks for it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue
from torch import nn

from edgecompress.compress import two_four
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.plan import replay
from edgecompress.compress.prune import group_sparsity, prune
from edgecompress.compress.prune_context import PruneContext
from edgecompress.compress.score import validate
from edgecompress.compress.sparsify import apply_masks, masks_for
from edgecompress.compress.train import train
from edgecompress.errors import StorageError
from edgecompress.pipeline.circumstances import circumstances, probed
from edgecompress.pipeline.job import Job, Point, QuantizedPoint, Trained
from edgecompress.pipeline.recovery import scanned, score_after
from edgecompress.pipeline.stages import Output
from edgecompress.pipeline.training import (
    dump,
    output_of,
    state_of,
    trained_of,
    training_of,
)
from edgecompress.spec.base import parse
from edgecompress.spec.deploy import QuantizeSpec, StructuredPruneSpec, TrainSpec
from edgecompress.spec.report import EpochRow, QuantizationNoise
from edgecompress.store import StageRecord

if TYPE_CHECKING:
    from edgecompress.compress.quantize import Quantized
    from edgecompress.pipeline.latency import Speeds


def original(job: Job, model: nn.Module) -> Point:
    """The user's model; trained first where the recipe says so."""
    spec = job.recipe.config.train
    if spec is None:
        return Point("original", job.fingerprint, lambda: model)

    def work(work_dir: Path) -> Output:
        trained = duplicate(model)
        rows = train(trained, training_of(job, "train", spec, work_dir))
        return output_of(Trained(metric=validate(trained, job.task), epochs=rows), trained)

    depends_on = job.depends_on(train=dump(spec))
    record = job.stages.run("train", depends_on, work)
    return _point("original", job, record, lambda: duplicate(model))


def sparsified(job: Job, before: Point) -> Point:
    """The model trained with a penalty on whole channels, so that those to go matter less."""
    prune_spec = job.recipe.config.prune
    spec = prune_spec.sparsify if isinstance(prune_spec, StructuredPruneSpec) else None
    if spec is None or not isinstance(prune_spec, StructuredPruneSpec):
        return before
    round_to, ignored = job.recipe.round_to, prune_spec.ignored_layers

    def work(work_dir: Path) -> Output:
        model = duplicate(before.model)
        sparsity = group_sparsity(model, job.example_inputs, round_to, ignored)
        training = training_of(job, "sparsify", spec, work_dir, before)
        training.penalty = lambda: spec.group_sparsity * sparsity.penalty()
        # Wanted is the most sparse model, not the best.
        training.best_from = spec.epochs - 1
        rows = train(model, training)
        return output_of(Trained(metric=validate(model, job.task), epochs=rows), model)

    depends_on = job.depends_on(
        sparsify=dump(spec),
        ignored_layers=list(ignored),
        round_to=round_to,
        distill=dump(job.recipe.distill),
        parent=before.key,
    )
    record = job.stages.run("sparsify", depends_on, work)
    return _point("sparsified", job, record, lambda: duplicate(before.model))


def pruned(job: Job, before: Point, teacher: Point) -> Point:
    """The model without whole channels or single weights, as the recipe says."""
    spec = job.recipe.config.prune
    if spec is None:
        return before
    between = _between(job)

    by_loss = isinstance(spec, StructuredPruneSpec) and spec.goes_by_loss
    by_latency = isinstance(spec, StructuredPruneSpec) and spec.allocation == "latency"
    depends_on = job.depends_on(
        prune=dump(spec),
        round_to=job.recipe.round_to,
        parent=before.key,
        between=dump(between),
        recovery=dump(job.recipe.config.recovery) if by_loss else None,
        distill=dump(job.recipe.distill) if between else None,
        **(_measured_with(job) if by_latency else {}),
    )
    # Two functions, so that what measures is code of the stage only where the recipe measures.
    cutting = _cutting_by_latency if by_latency else _cutting
    record = job.stages.run("prune", depends_on, cutting(job, before, teacher))
    trained = trained_of(record)
    plan = trained.plan
    if plan is None:
        raise StorageError(f"stage prune: its record has no plan; delete {job.stages.store.root}")
    point = _point("pruned", job, record, lambda: replay(before.model, plan, job.example_inputs))
    point.layers = trained.layers
    point.masks = lambda: {
        **masks_for(before.model, plan.thresholds),
        **two_four.masks_for(point.model, plan.two_four),
    }
    point.two_four, point.latency = plan.two_four, trained.latency
    return point


def _cutting(job: Job, before: Point, teacher: Point) -> Callable[[Path], Output]:
    def work(work_dir: Path) -> Output:
        return _cut(job, before, teacher, work_dir)

    return work


def _cutting_by_latency(job: Job, before: Point, teacher: Point) -> Callable[[Path], Output]:
    def work(work_dir: Path) -> Output:
        # Imports torchao, which takes seconds.
        from edgecompress.pipeline.latency import speeds_on

        with speeds_on(job) as speeds:
            return _cut(job, before, teacher, work_dir, speeds)

    return work


def _cut(
    job: Job, before: Point, teacher: Point, work_dir: Path, speeds: "Speeds | None" = None
) -> Output:
    """Prune; `speeds`: what measures, where the recipe prunes by latency."""
    spec, between = job.recipe.config.prune, _between(job)
    assert spec is not None, "the stage is of recipes that prune"
    rows: list[EpochRow] = []

    def recover(model: nn.Module, step: int) -> None:
        if between is not None:
            training = training_of(job, f"prune-{step}", between, work_dir, teacher)
            rows.extend(train(model, training))

    context = PruneContext(
        example_inputs=job.example_inputs,
        loss=job.loss,
        # The loss, because a metric hardly moves when few channels go.
        score=lambda models: score_after(job, job.recipe.config.recovery, models),
        finetune=recover,
        progress=lambda what, done, total: job.stages.progress.step(done, total, what),
        speed_of=speeds,
        scanned=partial(scanned, job, before),
    )
    result = prune(before.model, spec, job.recipe.round_to, context)
    trained = Trained(
        metric=validate(result.model, job.task),
        epochs=tuple(rows),
        plan=result.plan,
        layers=result.layers,
        latency=None if speeds is None else speeds.allocation,
    )
    return output_of(trained, result.model)


def _measured_with(job: Job) -> dict[str, JsonValue]:
    """What pruning by latency follows from beside the rest."""
    device, probe = probed(job)
    quantize = job.recipe.config.quantize
    return {
        "measured": circumstances(job, device, probe),
        "scheme": None if quantize is None else dump(job.recipe.scheme),
        "keep_float": None if quantize is None else list(quantize.keep_float),
    }


def finetuned(job: Job, before: Point, teacher: Point) -> Point:
    """Recover in float what pruning cost."""
    spec = job.recipe.config.finetune
    if spec is None:
        return before

    def work(work_dir: Path) -> Output:
        model, masks = duplicate(before.model), before.masks()
        training = training_of(job, "finetune", spec, work_dir, teacher)
        training.after_step = lambda: apply_masks(model, masks)
        rows = train(model, training)
        return output_of(Trained(metric=validate(model, job.task), epochs=rows), model)

    depends_on = job.depends_on(
        finetune=dump(spec), distill=dump(job.recipe.distill), parent=before.key
    )
    record = job.stages.run("finetune", depends_on, work)
    point = _point("fine-tuned", job, record, lambda: duplicate(before.model))
    point.layers, point.masks, point.two_four = before.layers, before.masks, before.two_four
    return point


def quantized(job: Job, before: Point, teacher: Point) -> QuantizedPoint | None:
    """The model in int8, fine-tuned with fake quantisation where the recipe says so."""
    spec = job.recipe.config.quantize
    return None if spec is None else quantized_as(job, spec, before, teacher)


def quantized_as(job: Job, spec: QuantizeSpec, before: Point, teacher: Point) -> QuantizedPoint:
    """`quantized`, with another `quantize` than the recipe's."""

    def work(work_dir: Path) -> Output:
        from edgecompress.pipeline import quantizing

        return quantizing.quantize(job, spec, before, teacher, work_dir)

    depends_on = job.depends_on(
        # What is kept in float afterwards does not change what is trained.
        quantize=spec.model_dump(mode="json", exclude={"max_metric_drop"}),
        scheme=dump(job.recipe.scheme),
        distill=dump(job.recipe.distill),
        parent=before.key,
    )
    record = job.stages.run("quantize", depends_on, work)
    trained = trained_of(record)

    def build() -> "Quantized":
        from edgecompress.pipeline import quantizing

        return quantizing.rebuild(job, spec, before, trained.keep_float, state_of(job, record))

    return QuantizedPoint(record.key, build, trained, before.two_four)


def noise(job: Job, point: QuantizedPoint) -> QuantizationNoise:
    """What quantising cost, operator by operator."""

    def work(_: Path) -> Output:
        from edgecompress.pipeline import quantizing

        return quantizing.noise_of(job, point.quantized)

    record = job.stages.run("sensitivity", job.depends_on(parent=point.key), work)
    return parse(QuantizationNoise, record.result, f"stage {record.name}")


def _between(job: Job) -> TrainSpec | None:
    """The fine-tuning between two steps of pruning, if there is any."""
    prune_spec, spec = job.recipe.config.prune, job.recipe.config.finetune
    if spec is None or not isinstance(prune_spec, StructuredPruneSpec):
        return None
    if not prune_spec.epochs_between:
        return None
    return spec.model_copy(update={"epochs": prune_spec.epochs_between, "warmup_epochs": 0.0})


def _point(name: str, job: Job, record: StageRecord, skeleton: Callable[[], nn.Module]) -> Point:
    """A point whose weights lie in the store, to be loaded into `skeleton()`."""

    def build() -> nn.Module:
        model = skeleton()
        model.load_state_dict(state_of(job, record))
        return model.eval()

    trained = trained_of(record)
    return Point(name, record.key, build, trained.metric, trained.epochs)
