"""The stages that train: original -> pruned -> fine-tuned -> quantised.

Each gives a `Point`: what the store knows of it, and the live model, which is rebuilt only when
somebody asks for it.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn

from edgecompress.compress.checkpoint import load_checkpoint, to_bytes
from edgecompress.compress.distill import Teacher
from edgecompress.compress.folding import freeze_statistics
from edgecompress.compress.observers import set_phase
from edgecompress.compress.plan import replay
from edgecompress.compress.prune import PruneContext, group_sparsity, prune
from edgecompress.compress.quantize import Prepared, Quantized, calibrate, convert, forward, prepare
from edgecompress.compress.sensitivity import rank_layers
from edgecompress.compress.sparsify import apply_masks, masks_for
from edgecompress.compress.train import Training, train, validate
from edgecompress.errors import ModelError, StorageError
from edgecompress.pipeline.job import Job, Point, QuantizedPoint, Trained
from edgecompress.pipeline.stages import Output
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.deploy import QuantizeSpec, StructuredPruneSpec, TrainSpec
from edgecompress.spec.report import EpochRow
from edgecompress.store import StageRecord

ROOMS = ("compress", "task", "pipeline/models", "pipeline/job")


def original(job: Job, model: nn.Module) -> Point:
    """The user's model; trained first where the recipe says so."""
    spec = job.recipe.config.train
    if spec is None:
        return Point("original", job.fingerprint, lambda: model)

    def work(work_dir: Path) -> Output:
        trained = copy.deepcopy(model)
        rows = train(trained, _training(job, "train", spec, work_dir))
        return _output(Trained(metric=validate(trained, job.task), epochs=rows), trained)

    depends_on = job.depends_on(train=spec.model_dump(mode="json"))
    record = job.stages.run("train", depends_on, ROOMS, work)
    return _point("original", job, record, lambda: copy.deepcopy(model))


def sparsified(job: Job, before: Point) -> Point:
    """Trained with a penalty on whole channels, so that those to be removed matter less."""
    prune_spec = job.recipe.config.prune
    spec = prune_spec.sparsify if isinstance(prune_spec, StructuredPruneSpec) else None
    if spec is None or not isinstance(prune_spec, StructuredPruneSpec):
        return before
    round_to, ignored = job.recipe.target.round_to, prune_spec.ignored_layers

    def work(work_dir: Path) -> Output:
        model = copy.deepcopy(before.model)
        sparsity = group_sparsity(model, job.example_inputs, round_to, ignored)
        training = _training(job, "sparsify", spec, work_dir, before)
        training.penalty = lambda: spec.group_sparsity * sparsity.penalty()
        # Wanted is the most sparse model, not the best.
        training.best_from = spec.epochs - 1
        rows = train(model, training)
        return _output(Trained(metric=validate(model, job.task), epochs=rows), model)

    depends_on = job.depends_on(
        sparsify=_dump(spec),
        ignored_layers=list(ignored),
        round_to=round_to,
        distill=_dump(job.recipe.distill),
        parent=before.key,
    )
    record = job.stages.run("sparsify", depends_on, ROOMS, work)
    return _point("sparsified", job, record, lambda: copy.deepcopy(before.model))


def pruned(job: Job, before: Point, teacher: Point) -> Point:
    """Structured or unstructured, as the recipe says; with fine-tuning between steps."""
    spec = job.recipe.config.prune
    if spec is None:
        return before
    round_to = job.recipe.target.round_to

    def work(work_dir: Path) -> Output:
        rows: list[EpochRow] = []
        context = PruneContext(
            example_inputs=job.example_inputs,
            loss=job.loss,
            # The loss, because a metric hardly moves when few channels go.
            score=lambda model: -_loss_of(job, model),
            finetune=lambda model, step: rows.extend(_between(job, teacher, model, step, work_dir)),
            progress=lambda what, done, total: job.stages.progress.step(done, total, what),
        )
        result = prune(before.model, spec, round_to, context)
        metric = validate(result.model, job.task)
        trained = Trained(metric=metric, epochs=tuple(rows), plan=result.plan, layers=result.layers)
        return _output(trained, result.model)

    depends_on = job.depends_on(
        prune=spec.model_dump(mode="json"),
        round_to=round_to,
        parent=before.key,
        finetune=_dump(job.recipe.config.finetune),
        distill=_dump(job.recipe.distill),
    )
    record = job.stages.run("prune", depends_on, ROOMS, work)
    trained = _trained(record)
    plan = trained.plan
    if plan is None:
        raise StorageError(f"stage prune: its record has no plan; delete {job.stages.store.root}")
    point = _point("pruned", job, record, lambda: replay(before.model, plan, job.example_inputs))
    point.layers = trained.layers
    point.masks = lambda: masks_for(before.model, plan.thresholds)
    return point


def finetuned(job: Job, before: Point, teacher: Point) -> Point:
    """Recover in float what pruning cost."""
    spec = job.recipe.config.finetune
    if spec is None:
        return before

    def work(work_dir: Path) -> Output:
        model, masks = copy.deepcopy(before.model), before.masks()
        training = _training(job, "finetune", spec, work_dir, teacher)
        training.after_step = lambda: apply_masks(model, masks)
        rows = train(model, training)
        return _output(Trained(metric=validate(model, job.task), epochs=rows), model)

    depends_on = job.depends_on(
        finetune=spec.model_dump(mode="json"), distill=_dump(job.recipe.distill), parent=before.key
    )
    record = job.stages.run("finetune", depends_on, ROOMS, work)
    point = _point("fine-tuned", job, record, lambda: copy.deepcopy(before.model))
    point.layers, point.masks = before.layers, before.masks
    return point


def quantized(job: Job, before: Point, teacher: Point) -> QuantizedPoint | None:
    """Calibrate, choose what stays in float, and fine-tune with fake quantisation."""
    spec = job.recipe.config.quantize
    if spec is None:
        return None

    def work(work_dir: Path) -> Output:
        keep = _keep_float(job, spec, before)
        prepared = _prepared(job, spec, before, keep)
        calibrate(prepared, job.calibration)
        rows: tuple[EpochRow, ...] = ()
        if spec.train is not None:
            rows = _qat(job, spec, spec.train, prepared, before, teacher, work_dir)
        run = lambda *inputs: forward(prepared, inputs)  # noqa: E731
        metric = validate(prepared.graph, job.task, run)
        return _output(Trained(metric=metric, epochs=rows, keep_float=keep), prepared.graph)

    depends_on = job.depends_on(
        quantize=spec.model_dump(mode="json"),
        scheme=job.recipe.scheme.model_dump(mode="json"),
        distill=_dump(job.recipe.distill),
        parent=before.key,
    )
    record = job.stages.run("quantize", depends_on, ROOMS, work)

    trained = _trained(record)

    def build() -> Quantized:
        prepared = _prepared(job, spec, before, trained.keep_float)
        prepared.graph.load_state_dict(_state(job, record))
        set_phase(prepared.graph, "frozen")
        return convert(prepared)

    return QuantizedPoint(record.key, build, trained)


def _keep_float(job: Job, spec: QuantizeSpec, before: Point) -> tuple[str, ...]:
    if not spec.keep_float_sensitive:
        return spec.keep_float
    prepared = _prepared(job, spec, before, spec.keep_float)
    calibrate(prepared, job.calibration)
    ranking = rank_layers(prepared, lambda graph: _loss_of(job, graph))
    return (*spec.keep_float, *ranking[: spec.keep_float_sensitive])


def _prepared(job: Job, spec: QuantizeSpec, before: Point, keep: tuple[str, ...]) -> Prepared:
    return prepare(before.model, job.example_inputs, job.recipe.scheme, spec.ranges, keep)


def _qat(
    job: Job,
    spec: QuantizeSpec,
    train_spec: TrainSpec,
    prepared: Prepared,
    before: Point,
    teacher: Point,
    work_dir: Path,
) -> tuple[EpochRow, ...]:
    if not prepared.free_batch:
        raise ModelError(
            "quantize.mode qat: the model fixes its batch size, so it cannot be trained as a graph;"
            " use x.shape[0] in place of a number when it reshapes, or mode: ptq"
        )
    graph, masks = prepared.graph, before.masks()
    # At least the last epoch trains what will ship: fixed ranges and statistics.
    frozen_from = min(int(spec.freeze_at * train_spec.epochs), train_spec.epochs - 1)

    def before_epoch(epoch: int) -> None:
        set_phase(graph, "train" if epoch < frozen_from else "frozen")
        if epoch >= frozen_from:
            freeze_statistics(graph)

    training = _training(job, "qat", train_spec, work_dir, teacher)
    training.before_epoch = before_epoch
    training.best_from = frozen_from
    training.after_step = lambda: apply_masks(graph, masks)
    return train(graph, training)


def _between(
    job: Job, teacher: Point, model: nn.Module, step: int, work_dir: Path
) -> tuple[EpochRow, ...]:
    config = job.recipe.config
    epochs = config.prune.epochs_between if isinstance(config.prune, StructuredPruneSpec) else 0
    if config.finetune is None or not epochs:
        return ()
    spec = config.finetune.model_copy(update={"epochs": epochs, "warmup_epochs": 0.0})
    return train(model, _training(job, f"prune-{step}", spec, work_dir, teacher))


def _training(
    job: Job, name: str, spec: TrainSpec, work_dir: Path, teacher: Point | None = None
) -> Training:
    distill = job.recipe.distill
    training = Training(name, job.task, spec, job.recipe.config.seed, work_dir, job.stages.progress)
    if teacher is not None and distill is not None:
        training.teacher = Teacher(copy.deepcopy(teacher.model), distill, job.task)
    return training


def _loss_of(job: Job, model: nn.Module) -> float:
    with torch.no_grad():
        return float(job.loss(model))


def _output(trained: Trained, model: nn.Module) -> Output:
    return Output(trained.model_dump(mode="json"), {"model": to_bytes(model.state_dict())})


def _trained(record: StageRecord) -> Trained:
    return parse(Trained, record.result, f"stage {record.name}")


def _state(job: Job, record: StageRecord) -> dict[str, torch.Tensor]:
    return load_checkpoint(job.stages.store.path(record.blobs["model"]))


def _dump(spec: Spec | None) -> dict[str, JsonValue] | None:
    return None if spec is None else spec.model_dump(mode="json")


def _point(name: str, job: Job, record: StageRecord, skeleton: Callable[[], nn.Module]) -> Point:
    """A point whose weights lie in the store, to be loaded into `skeleton()`."""

    def build() -> nn.Module:
        model = skeleton()
        model.load_state_dict(_state(job, record))
        return model.eval()

    trained = _trained(record)
    return Point(name, record.key, build, trained.metric, trained.epochs)
