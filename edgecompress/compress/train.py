"""The training loop: one function, one epoch after another, everything in sight.

It resumes: after every epoch all that the next one depends on is written to a checkpoint, in one
atomic step, and each epoch seeds every generator from (seed, epoch). A run that was killed and
started again ends with the same weights as one that was not. It runs on the best device that is
here; where a launcher started several processes, each computes a part of every batch.
"""

import math
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from edgecompress.compress import processes
from edgecompress.compress.answers import Answers
from edgecompress.compress.checkpoint import Resuming, load_checkpoint, save_checkpoint
from edgecompress.compress.distill import Teacher
from edgecompress.compress.hardware import Hardware, best_hardware, fault_on, place
from edgecompress.compress.layout import use_channels_last, use_contiguous
from edgecompress.compress.learner import Alone, Together, learner
from edgecompress.compress.lesson import Lesson
from edgecompress.compress.memory import keep_freed_memory
from edgecompress.compress.modes import set_training
from edgecompress.compress.score import validate
from edgecompress.compress.steps import Steps
from edgecompress.errors import ModelError, TaskError
from edgecompress.progress import Progress
from edgecompress.spec.deploy import TrainSpec
from edgecompress.spec.report import EpochRow
from edgecompress.task.base import ClassificationTask, Task
from edgecompress.task.places import CPU
from edgecompress.task.seed import seed_everything
from edgecompress.task.used import Used


@dataclass
class Training:
    """What one run of the loop needs beside the model.

    `penalty` is added to the loss; `after_step` and `before_epoch` are called with nothing and
    with the epoch's index: masks are re-applied there, statistics are frozen there.
    """

    name: str
    task: Task
    spec: TrainSpec
    seed: int
    work_dir: Path
    progress: Progress
    teacher: Teacher | None = None
    penalty: Callable[[], Tensor] | None = None
    after_step: Callable[[], None] = lambda: None
    before_epoch: Callable[[int], None] = lambda _: None
    keeps_start: bool = False
    """The model as it comes is good enough to ship, and stays where no epoch beats it."""
    best_from: int = 0
    """Epochs before this one are never the best: their model is not yet what will ship."""
    used: Used | None = None
    """The files that the task reads, which a checkpoint goes by; None: they are not looked at."""
    hardware: Callable[[], Hardware] = best_hardware
    """What there is to train on."""


@dataclass
class _State:
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    batches: int = 0
    """In one epoch, once that is known."""
    rows: list[EpochRow] = field(default_factory=list)


def train(model: nn.Module, training: Training) -> tuple[EpochRow, ...]:
    """Train `model` in place; it ends with the weights of its best epoch, in eval mode.

    Raises:
        ModelError: the loss is no longer finite.
        TaskError: the model cannot take the training data, or label smoothing is not for this
            task; and, from a guarded task (see task.guard), whatever its own code does wrong.

    """
    with _label_smoothing(training.task, training.spec):
        return _train(model, training)


def _train(model: nn.Module, training: Training) -> tuple[EpochRow, ...]:
    keep_freed_memory()
    models = [model] if training.teacher is None else [model, training.teacher.model]
    use_channels_last(models, training.task.example_inputs())
    hardware = _placed(models, training)
    try:
        rows = _epochs(model, training, hardware)
    finally:
        place(model, CPU)
    use_contiguous(model)
    set_training(model, False)
    return rows


def _epochs(model: nn.Module, training: Training, hardware: Hardware) -> tuple[EpochRow, ...]:
    spec, task = training.spec, training.task
    steps = Steps(model, spec, hardware)
    lesson = Lesson(training.name, task, hardware, training.teacher)
    group = processes.current()
    others = None if group is None else Together(group, training.progress)
    gradients = learner(model, lesson, training.penalty, others)
    gradients.answers = _answers(model, training, lesson)
    path = training.work_dir / f"{training.name}.pt"
    state = _resume(model, steps, path, training)
    if training.keeps_start and state.epoch == 0:
        state.best = _oriented(validate(model, task), task)
        save_checkpoint(path.with_suffix(".best.pt"), {"model": model.state_dict()})
    while state.epoch < spec.epochs and not _stops_early(state, spec):
        epoch = state.epoch
        seed_everything(training.seed, epoch)
        training.before_epoch(epoch)
        rate, loss = _one_epoch(gradients, steps, training, state)
        with steps.averaged():
            score = validate(model, task)
            oriented = _oriented(score, task)
            if epoch >= training.best_from and oriented > state.best:
                state.best, state.best_epoch = oriented, epoch
                save_checkpoint(path.with_suffix(".best.pt"), {"model": model.state_dict()})
        state.rows.append(
            EpochRow(
                stage=training.name, epoch=epoch + 1, loss=loss, metric=score, learning_rate=rate
            )
        )
        state.epoch = epoch + 1
        if gradients.answers is not None:
            gradients.answers.save()
        _save(model, steps, path, state, training.used)
        training.progress.step(
            epoch + 1, spec.epochs, f"{training.name}: loss {loss:.4f}, metric {score:.4f}"
        )
    best = load_checkpoint(path.with_suffix(".best.pt"))
    model.load_state_dict(best["model"])
    return tuple(state.rows)


def _answers(model: nn.Module, training: Training, lesson: Lesson) -> Answers | None:
    """The teacher's outputs, where a task says that the same are asked for in every epoch. Features
    of layers are not kept, because they are many times larger.
    """
    teacher = training.teacher
    if teacher is None or not training.task.repeats_train_data or teacher.layers_of(model):
        return None
    path = training.work_dir / f"{training.name}.teacher.pt"
    answers = Answers(lesson.expected, path, training.progress, training.used)
    answers.load(training.task.example_inputs())
    return answers


def _placed(models: list[nn.Module], training: Training) -> Hardware:
    """The hardware to train on, with the models on it: the best there is, and the CPU in float32
    for those that run on no other.
    """
    hardware = training.hardware().for_model(models[0])
    if hardware == Hardware():
        return hardware
    inputs = training.task.example_inputs()
    faults = (fault_on(hardware, model, inputs) for model in models)
    fault = next((fault for fault in faults if fault is not None), None)
    if fault is None:
        training.progress.note(f"{training.name}: trains on {hardware.words()}")
        return hardware
    for model in models:
        place(model, CPU)
    training.progress.note(
        f"{training.name}: trains on {Hardware().words()}, because the model does not run on"
        f" {hardware.words()}: {fault}"
    )
    return Hardware()


def _one_epoch(
    gradients: Alone, steps: Steps, training: Training, state: _State
) -> tuple[float, float]:
    """(last learning rate, mean loss)."""
    set_training(gradients.model, True)
    gradients.begin(training.seed, state.epoch)
    spec, total, index, waiting = training.spec, 0.0, 0, 0
    data = training.task.train_data()
    batches = len(data) if isinstance(data, Sized) else state.batches
    rate = spec.learning_rate
    for index, batch in enumerate(data, start=1):
        share = min((index - 1) / batches, 1.0) if batches else 0.0
        if not waiting:
            rate = steps.at(state.epoch + share)
            steps.clear()
        loss = gradients.gradients(batch, steps.scale)
        if not math.isfinite(loss):
            raise ModelError(
                f"{training.name}: loss is {loss} in epoch {state.epoch + 1}, batch {index};"
                " lower learning_rate, set gradient_clip, or check the data for NaN"
            )
        waiting += 1
        if waiting == spec.accumulate:
            steps.step(waiting, training.after_step)
            waiting = 0
        total += loss
        training.progress.step(
            state.epoch, spec.epochs, f"epoch {state.epoch + 1}, batch {index}/{batches or '?'}"
        )
    if waiting:
        steps.step(waiting, training.after_step)
    state.batches = index
    return rate, total / index


def _oriented(score: float, task: Task) -> float:
    """Turned so that higher is better."""
    return score if task.metric().higher_is_better else -score


@contextmanager
def _label_smoothing(task: Task, spec: TrainSpec) -> Iterator[None]:
    """While open, the task's loss has it; only then, because others use the loss too."""
    if not isinstance(task, ClassificationTask):
        if spec.label_smoothing:
            raise TaskError(
                f"{type(task).__name__}: label_smoothing needs a ClassificationTask; set it to 0"
            )
        yield
        return
    task.label_smoothing = spec.label_smoothing
    try:
        yield
    finally:
        task.label_smoothing = 0.0


def _stops_early(state: _State, spec: TrainSpec) -> bool:
    patience = spec.early_stop_epochs
    return (
        patience is not None
        and state.best_epoch >= 0
        and state.epoch - 1 - state.best_epoch >= patience
    )


def _save(model: nn.Module, steps: Steps, path: Path, state: _State, used: Used | None) -> None:
    save_checkpoint(
        path,
        {
            "model": model.state_dict(),
            **steps.state(),
            "epoch": state.epoch,
            "best": state.best,
            "best_epoch": state.best_epoch,
            "batches": state.batches,
            "rows": [row.model_dump() for row in state.rows],
        },
        used,
    )


def _resume(model: nn.Module, steps: Steps, path: Path, training: Training) -> _State:
    # Where an epoch was the best so far, there is nothing to go on with without its weights.
    best = path.with_suffix(".best.pt")
    saved = Resuming(
        path,
        lambda state: [best] if state["best"] > -math.inf else [],
        training.used,
        training.progress,
    ).state()
    if saved is None:
        return _State()
    model.load_state_dict(saved["model"])
    steps.load(saved)
    for epoch in range(saved["epoch"]):
        training.before_epoch(epoch)
    training.progress.note(f"{training.name}: resumed after epoch {saved['epoch']}")
    rows = [EpochRow(**row) for row in saved["rows"]]
    return _State(saved["epoch"], saved["best"], saved["best_epoch"], saved["batches"], rows)
