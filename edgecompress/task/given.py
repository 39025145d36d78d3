"""A Task of what a user has in memory: a model, loaders, a metric, a loss; docs/python.md."""

import copy
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from edgecompress.errors import TaskError
from edgecompress.spec.base import digest
from edgecompress.spec.preprocessing import Preprocessing
from edgecompress.task.base import Batch, ClassificationTask, Task, inputs_of, take, tensors_of
from edgecompress.task.batches import Rules
from edgecompress.task.content import content_of, content_of_each
from edgecompress.task.guard import Batches, user_code
from edgecompress.task.load import check_weights, entered
from edgecompress.task.metric import Metric, MulticlassAccuracy
from edgecompress.task.seed import generators_kept, seed_everything
from edgecompress.task.words import came

Data = Iterable[Any] | Callable[[], Iterable[Any]]
"""Batches (inputs, target) that can be gone through again and again: a DataLoader, a list; or a
function that gives them anew.
"""
Loss = Callable[[Any, Any], Tensor]
"""Outputs and target to a scalar."""

_PROCESS = secrets.token_hex(16)
"""What the code of objects depends on beside what can be looked into, nobody knows in another
process.
"""
_LOOK_SEED = 1_000_007  # an "epoch" that no training reaches
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_WAYS = "give a list of batches, a DataLoader, or the function that makes it"


@dataclass(frozen=True)
class Scoring:
    """What counts as good."""

    metric: Any = None
    """A metric, or what makes one when it is called; None: accuracy, where there are classes."""
    loss: Loss | None = None
    """None: cross entropy, where there are classes."""
    labels: tuple[str, ...] | None = None
    kind: "Callable[[Given], Task] | None" = None
    """What makes the task; None: what the outputs and the targets are says it."""


@dataclass(frozen=True)
class Contract:
    """What an application has to do with the file, as in a Task."""

    preprocessing: Preprocessing | None = None
    decoder: nn.Module | None = None


@dataclass(frozen=True)
class Read:
    """What a recipe reads of the training data, for a fingerprint."""

    seed: int
    """The recipe's."""
    epoch: int
    """What draws of the data are seeded with, beside it."""
    batches: int | None
    """So many from the beginning; None: all of an epoch."""


@dataclass(frozen=True, eq=False)
class Given:
    """What stands in the place of a Task in a file. Nothing of it is ever changed.

    Raises:
        TaskError: what cannot be a model, or data.

    """

    model: nn.Module
    evaluate: Data
    train: Data | None = None
    validate: Data | None = None
    scoring: Scoring = Scoring()
    example: tuple[Tensor, ...] | None = None
    """Inputs of one inference; None: the first sample of the evaluation data."""
    title: str | None = None
    """What reports call it; None: as the model's class is called."""
    contract: Contract = Contract()

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TaskError(f"model: must be a torch.nn.Module, not {came(self.model)}")
        check_weights(self.model, "model")
        check_again("evaluate", self.evaluate)
        for name, data in (("train", self.train), ("validate", self.validate)):
            if data is not None:
                check_again(name, data)
        check_metric(self.scoring.metric)

    def copied(self) -> nn.Module:
        """The model, sharing nothing with the one that was given."""
        # Results that a module keeps as attributes are cut off: torch copies no others.
        memo = {
            id(value): value.detach().clone()
            for module in self.model.modules()
            for value in vars(module).values()
            if isinstance(value, Tensor) and not value.is_leaf
        }
        with user_code("model: cannot be copied"):
            return copy.deepcopy(self.model, memo)

    @cached_property
    def examples(self) -> tuple[Tensor, ...]:
        """Inputs of one inference."""
        if self.example is not None:
            return self.example
        return tuple(x[:1].detach().clone() for x in inputs_of(self._first))

    @cached_property
    def classes(self) -> int | None:
        """How many, where samples have one label and the model gives scores for each; else None."""
        with user_code("model(*example_inputs)"), torch.no_grad():
            outputs = self.copied().eval()(*self.examples)
        count = classes_of([list(tensor.shape) for tensor in tensors_of(outputs)], self._first)
        # With a metric of their own, integers may be something else than classes.
        own = self.scoring.metric is not None
        return None if own and count is not None and not _in_range(self._first[1], count) else count

    @cached_property
    def _first(self) -> Batch:
        with generators_kept(self):
            return self._looked_at().first()

    @cached_property
    def evaluated(self) -> str:
        """A digest of all evaluation data."""
        with generators_kept(self):
            return content_of_each(self._looked_at())

    def _looked_at(self) -> Batches:
        seed_everything(0, _LOOK_SEED)
        with user_code("evaluate"):
            return Batches(drawn(self.evaluate), "evaluate", Rules())

    @cached_property
    def name(self) -> str:
        """For reports: its title, and a part of a digest of the model's weights and the data."""
        title = type(self.model).__name__ if self.title is None else self.title
        return f"{title}-{digest([self._weights, self.evaluated])[:8]}"

    @cached_property
    def _weights(self) -> str:
        return content_of(dict(self.model.state_dict()))

    def task(self) -> Task:
        """A fresh task, guarded. Raises TaskError when no metric is given, or it is none."""
        if self.scoring.kind is not None:
            return entered(self.scoring.kind(self))
        if self.classes is None:
            if self.scoring.metric is None:
                raise TaskError(
                    "metric: none is given, and it is not accuracy that counts: that needs integer"
                    f" labels [N], and outputs [N, classes]; the target is {came(self._first[1])};"
                    " give metric=, such as one of torchmetrics"
                )
            return entered(GivenTask(self))
        kind = GivenClassification if self.scoring.loss is None else GivenClassificationByLoss
        return entered(kind(self))

    def fingerprint(self, task: Task, model: nn.Module, read: Read) -> str:
        """A digest of all that results follow from; no other process ever has the same.

        Args:
            task: as `task` gave it.
            model: that the task gave, in eval mode.
            read: how much of the training data a recipe reads.

        Raises:
            TaskError: data that is wrong.

        """
        with torch.no_grad():
            outputs = model(*self.examples)
        return digest(
            {
                "process": _PROCESS,
                "model": content_of(model),
                "outputs": content_of(tensors_of(outputs)),
                "examples": content_of(self.examples),
                "evaluate": self.evaluated,
                "validate": self._content(task.validation_data, self.validate, read, None),
                "train": self._content(task.train_data, self.train, read, read.batches),
                "scoring": content_of((self.scoring.metric, self.scoring.loss)),
                "labels": list(self.scoring.labels or ()),
                "preprocessing": content_of(self.contract.preprocessing),
                "decoder": content_of(self.contract.decoder),
            }
        )

    def _content(
        self,
        draw: Callable[[], Iterable[Batch]],
        data: Data | None,
        read: Read,
        batches: int | None,
    ) -> str | None:
        if data is None:
            return None
        with generators_kept(self):
            seed_everything(read.seed, read.epoch)
            return content_of_each(draw() if batches is None else take(draw(), batches))


class _GivenTask(Task):
    """The part that is the same of every kind."""

    def __init__(self, given: Given) -> None:
        self._given = given
        # Here too, where generators of data are looked for.
        self._train, self._evaluate, self._validate = given.train, given.evaluate, given.validate

    def model(self) -> nn.Module:
        return self._given.copied()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return self._given.examples

    def train_data(self) -> Iterable[Batch]:
        if self._train is None:
            raise NotImplementedError("no training data is given; give train=")
        return drawn(self._train)

    def eval_data(self) -> Iterable[Batch]:
        return drawn(self._evaluate)

    def validation_data(self) -> Iterable[Batch]:
        return self.eval_data() if self._validate is None else drawn(self._validate)

    def metric(self) -> Metric:
        return made(self._given.scoring.metric)

    def labels(self) -> tuple[str, ...] | None:
        return self._given.scoring.labels

    def preprocessing(self) -> Preprocessing | None:
        return self._given.contract.preprocessing

    def decoder(self) -> nn.Module | None:
        return copy.deepcopy(self._given.contract.decoder)


class GivenTask(_GivenTask):
    """Whatever a metric, and perhaps a loss, was given for."""

    def loss(self, outputs: Any, target: Any) -> Tensor:
        loss = self._given.scoring.loss
        if loss is None:
            raise TaskError("loss: none is given, and the recipe trains; give loss=")
        return loss(outputs, target)


class GivenClassification(_GivenTask, ClassificationTask):
    """One label per sample, trained by cross entropy."""

    @property
    def classes(self) -> int:
        classes = self._given.classes
        assert classes is not None, "asked by who makes this"
        return classes

    def metric(self) -> Metric:
        given = self._given.scoring.metric
        return MulticlassAccuracy() if given is None else made(given)


class GivenClassificationByLoss(GivenClassification):
    """The same by a loss of the user's, whose training labels may be anything."""

    def loss(self, outputs: Any, target: Any) -> Tensor:
        loss = self._given.scoring.loss
        assert loss is not None, "asked by who makes this"
        return loss(outputs, target)


def check_again(name: str, data: object) -> None:
    """Raises TaskError unless data can be gone through more than once."""
    if isinstance(data, Iterator):
        raise TaskError(f"{name}: a {type(data).__name__} can be read once only; {_WAYS}")
    if not (isinstance(data, Iterable) or hasattr(data, "__getitem__") or callable(data)):
        raise TaskError(f"{name}: {came(data)} gives no batches; {_WAYS}")


def drawn(data: Data) -> Iterable[Batch]:
    """The batches, from their beginning."""
    is_function = callable(data) and not isinstance(data, Iterable)
    return data() if is_function else data  # type: ignore[operator,return-value]  # it was asked


def check_metric(metric: object) -> None:
    """Raises TaskError for what is neither a metric nor makes one; None is neither, and taken."""
    if metric is not None and not (callable(metric) or isinstance(metric, Metric)):
        raise TaskError(
            f"metric: {type(metric).__name__} lacks update(), compute() or higher_is_better; give a"
            " metric, such as one of torchmetrics, or what makes one"
        )


def made(metric: Any) -> Metric:
    """A fresh metric, of one that is given or of what makes one."""
    if isinstance(metric, type) or not isinstance(metric, Metric):
        fresh: Metric = metric()
        return fresh
    fresh = copy.deepcopy(metric)
    reset = getattr(fresh, "reset", None)
    if callable(reset):
        reset()
    return fresh


def classes_of(shapes: list[list[int]], batch: Batch) -> int | None:
    """How many classes there are, where outputs of one sample have such `shapes`, and the batch
    has one integer a sample; else None.
    """
    target = batch[1]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] < 2:
        return None
    if not isinstance(target, Tensor) or target.ndim != 1:
        return None
    return shapes[0][1] if target.dtype in _INTEGERS else None


def _in_range(labels: Tensor, classes: int) -> bool:
    return bool(((labels >= 0) & (labels < classes)).all())
