"""A process beside the main one: it computes gradients, and has no say in anything else."""

from collections.abc import Callable
from typing import Any

import torch

from edgecompress.compress.distill import Teacher
from edgecompress.compress.exchange import Exchange
from edgecompress.compress.hardware import Hardware, best_hardware, place
from edgecompress.compress.lesson import Lesson
from edgecompress.compress.memory import keep_freed_memory
from edgecompress.compress.messages import End, Explain, Learn, LoadTask, Step
from edgecompress.compress.processes import Group
from edgecompress.compress.sending import unpacked
from edgecompress.task.base import ClassificationTask, Task
from edgecompress.task.guard import explain
from edgecompress.task.load import load_task, original_model
from edgecompress.task.seed import seed_everything

_RANK_SEED = 1_000_100  # added to the epoch, so that each process drops other units out


def serve(group: Group) -> int:
    """Do what the main process says until it ends; the code to exit with.

    Raises:
        ProcessLost: it is gone.

    """
    keep_freed_memory()
    worker = _Worker(group, best_hardware())
    while True:
        message = group.listen()
        if isinstance(message, End):
            return message.code
        worker.do(message)


class _Worker:
    def __init__(self, group: Group, hardware: Hardware) -> None:
        self._group = group
        self._hardware = hardware
        self._task: Task | None = None
        self._lesson: Lesson | None = None
        self._wrong: str | None = None

    def do(self, message: Any) -> None:
        if isinstance(message, LoadTask):
            self._answer(lambda: self._load(message))
        elif isinstance(message, Learn):
            self._answer(lambda: self._learn(message))
        elif isinstance(message, Step):
            self._step(message)
        elif isinstance(message, Explain):
            self._group.collect(self._wrong)

    def _answer(self, work: Callable[[], None]) -> None:
        self._group.collect(_fault(work))

    def _load(self, message: LoadTask) -> None:
        seed_everything(message.seed, 0)
        self._task = load_task(message.ref, message.folder)
        # Torch learns here what structures the model gives, too.
        original_model(self._task)

    def _learn(self, message: Learn) -> None:
        lessons, task = unpacked(message.lessons), self._task
        assert task is not None, "the task is sent before the model"
        self._model = lessons.model
        hardware = Hardware(self._hardware.device, lessons.precision)
        place(self._model, hardware.device)
        teacher = None
        if lessons.teacher is not None and lessons.distill is not None:
            place(lessons.teacher, hardware.device)
            teacher = Teacher(lessons.teacher, lessons.distill, task)
        if isinstance(task, ClassificationTask):
            task.label_smoothing = lessons.label_smoothing
        self._lesson = Lesson(lessons.name, task, hardware, teacher)
        self._exchange = Exchange(self._model, self._group)
        seed_everything(lessons.seed, _RANK_SEED * self._group.rank + lessons.epoch)

    def _step(self, message: Step) -> None:
        exchange, loss = self._exchange, 0.0
        exchange.hand_out()
        before = exchange.buffers()
        self._model.zero_grad(set_to_none=True)
        self._wrong = None

        def compute() -> None:
            nonlocal loss
            assert self._lesson is not None
            assert message.part is not None
            value = self._lesson.loss(self._model, message.part, message.expected)
            torch.autograd.backward(value * (message.weight * message.scale))
            loss = value.item() * message.weight

        if message.part is not None:
            self._wrong = _fault(compute)
        if self._wrong is not None:
            self._model.zero_grad(set_to_none=True)
            loss = 0.0
        took_part = message.part is not None and self._wrong is None
        exchange.add_up(before, message.weight if took_part else 0.0, loss)


def _fault(work: Callable[[], None]) -> str | None:
    """What went wrong, in one line."""
    try:
        work()
    except Exception as error:
        text = str(error)
        return text if type(error).__module__.startswith("edgecompress.") else explain(error)
    return None
