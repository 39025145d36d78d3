"""The gradients of one batch: of this process alone, or of several that have a part of it each."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from edgecompress.compress.answers import Answers
from edgecompress.compress.exchange import Exchange
from edgecompress.compress.lesson import Lesson
from edgecompress.compress.messages import Explain, Learn, LoadTask, Step
from edgecompress.compress.processes import Group
from edgecompress.compress.sending import Lessons, packed, sendable
from edgecompress.errors import TaskError
from edgecompress.progress import Progress
from edgecompress.task.base import Batch, ClassificationTask, inputs_of
from edgecompress.task.guard import user_code
from edgecompress.task.load import source_of
from edgecompress.task.places import CPU, divided, to_device

Penalty = Callable[[], Tensor] | None


class Alone:
    """One process computes all of it."""

    answers: Answers | None = None
    """The teacher's, where they are kept."""

    def __init__(self, model: nn.Module, lesson: Lesson, penalty: Penalty) -> None:
        self.model = model
        self.lesson = lesson
        self.penalty = penalty

    def begin(self, seed: int, epoch: int) -> None:
        """Called before each epoch, with the model in the mode and state that it is trained in."""

    def gradients(self, batch: Batch, scale: float) -> float:
        """Add the gradients of the loss, times `scale`, to the parameters'; the loss.

        Raises:
            TaskError: the model cannot take the batch, or the loss its outputs.

        """
        return self._backward(batch, self._expected(batch), 1.0, scale)

    def _expected(self, batch: Batch) -> Any:
        """The teacher's outputs where they are kept; else the lesson asks for them."""
        return None if self.answers is None else self.answers.of(inputs_of(batch))

    def _backward(self, batch: Batch, expected: Any, weight: float, scale: float) -> float:
        loss = self.lesson.loss(self.model, batch, expected)
        # Written so that where both are 1 no number of a single process changes.
        loss = loss if weight == 1.0 else loss * weight
        if self.penalty is not None:
            with torch.enable_grad():
                loss = loss + self.penalty()
        task = type(self.lesson.task).__name__
        with user_code(f"{self.lesson.name}: the gradient of {task}.loss()"):
            torch.autograd.backward(loss if scale == 1.0 else loss * scale)
        return loss.item()


def _rows(values: Any, start: int, end: int) -> Any:
    return tree_map(lambda leaf: leaf[start:end] if isinstance(leaf, Tensor) else leaf, values)


def _copy(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


@dataclass(frozen=True)
class Together:
    """What several processes share beside a group."""

    group: Group
    progress: Progress


class Shared(Alone):
    """Each process computes a part of every batch; the sum of their gradients is that of the whole
    batch where the loss is a mean over samples. The main process alone has data, penalty and
    optimizer.
    """

    def __init__(
        self, model: nn.Module, lesson: Lesson, penalty: Penalty, others: Together
    ) -> None:
        super().__init__(model, lesson, penalty)
        self._group = others.group
        self._progress = others.progress
        self._divides = True
        self._epoch = (0, 0)

    def begin(self, seed: int, epoch: int) -> None:
        """Send the model as it is now, for its ranges and modes may have changed.

        Raises:
            TaskError: another process cannot take it.

        """
        self._epoch = (seed, epoch)
        self._load_task(seed)
        self._tell_all(Learn(self.packed_model()))
        self._exchange = Exchange(self.model, self._group)

    def _load_task(self, seed: int) -> None:
        """Let the others load the task, if they have not.

        Raises:
            TaskError: one of them cannot.

        """
        task = self.lesson.task
        if self._group.task is task:
            return
        source = source_of(task)
        assert source is not None, "asked by who makes this"
        self._tell_all(LoadTask(*source, seed))
        self._group.task = task

    def gradients(self, batch: Batch, scale: float) -> float:
        """Add the gradients of all processes, as of one."""
        if not self._exchange.fits():
            self.begin(*self._epoch)
        parts, known, weights = self._parts(batch)
        absent = self._group.size - len(parts)
        # Copies, because a part of a tensor is sent with all the memory that it lies in.
        own = tree_map(_copy, to_device(list(zip(parts, known, strict=True))[1:], CPU))
        steps = [
            Step(part, expected, weight, scale)
            for (part, expected), weight in zip(own, weights[1:], strict=True)
        ]
        # The first is this process's own, which needs not be sent.
        self._group.tell([None, *steps, *[Step(None)] * absent])
        # An interrupt in what follows leaves the others waiting for this process's part.
        self._group.in_step = False
        self._exchange.hand_out()
        before = self._exchange.buffers()
        held = [(p, p.grad) for p in self.model.parameters()]
        self.model.zero_grad(set_to_none=True)
        loss, failure = 0.0, None
        try:
            loss = self._backward(parts[0], known[0], weights[0], scale)
        except Exception as error:
            # The others are waiting for this process's part, whatever it is worth.
            failure = error
        total, took_part = self._exchange.add_up(before, weights[0], loss)
        self._group.in_step = True
        if failure is not None:
            raise failure
        if took_part < len(parts):
            raise TaskError(self._explanation())
        for parameter, gradient in held:
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else gradient + parameter.grad
        return total

    def _parts(self, batch: Batch) -> tuple[list[Batch], list[Any], list[float]]:
        """The parts of a batch, what the teacher says of each if it is kept, and their shares."""
        expected = self._expected(batch)
        parts = divided(batch, self._group.size) if self._divides else [batch]
        samples = [len(inputs_of(part)[0]) for part in parts]
        if len(parts) == 1 and samples[0] >= 2 * self._group.size and self._divides:
            self._divides = False
            self._progress.note(
                f"{self.lesson.name}: the target of a batch does not say which part of it belongs"
                " to which sample, so one process computes all of it; give one entry a sample"
            )
        bounds = pairwise([0, *accumulate(samples)])
        known = [_rows(expected, start, end) for start, end in bounds]
        return parts, known, [count / sum(samples) for count in samples]

    def packed_model(self) -> bytes:
        """The model as it is now. Raises whatever pickle does where it cannot be sent."""
        lesson, (seed, epoch) = self.lesson, self._epoch
        model, hooks = sendable(self.model)
        teacher, task = lesson.teacher, lesson.task
        smoothing = task.label_smoothing if isinstance(task, ClassificationTask) else 0.0
        return packed(
            Lessons(
                name=lesson.name,
                model=model,
                hooks=hooks,
                teacher=None if teacher is None else teacher.model,
                distill=None if teacher is None else teacher.spec,
                label_smoothing=smoothing,
                precision=lesson.hardware.precision,
                seed=seed,
                epoch=epoch,
            )
        )

    def _tell_all(self, message: object) -> None:
        """What all others answer to; raises TaskError where one says that something went wrong."""
        self._group.tell([None, *[message] * (self._group.size - 1)])
        for number, wrong in enumerate(self._group.collect(None), start=1):
            if wrong is not None:
                raise TaskError(f"process {number} of {self._group.size}: {wrong}")

    def _explanation(self) -> str:
        self._group.tell([None, *[Explain()] * (self._group.size - 1)])
        wrongs = [wrong for wrong in self._group.collect(None) if wrong is not None]
        return str(wrongs[0]) if wrongs else f"{self.lesson.name}: a process gave up"


def learner(model: nn.Module, lesson: Lesson, penalty: Penalty, others: Together | None) -> Alone:
    """Who computes the gradients of `model`: all processes of the command where there are several
    and they can be sent the model; else this one.
    """
    if others is None or source_of(lesson.task) is None:
        return Alone(model, lesson, penalty)
    shared = Shared(model, lesson, penalty, others)
    try:
        shared.packed_model()
    except Exception as error:
        # Pickle raises nearly anything, of what a class of the user's holds.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        others.progress.note(
            f"{lesson.name}: trains in one process of {others.group.size}: the model cannot be sent"
            f" to the others ({reason})"
        )
        return Alone(model, lesson, penalty)
    return shared
