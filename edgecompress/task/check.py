"""One batch of each data method, looked at when a task is loaded: what would stop a deploy after
minutes of training stops it at once, by name. What every batch must be is in `batches.py`.
"""

import copy
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from edgecompress.errors import TaskError
from edgecompress.task.base import Batch, Task, inputs_of, one_by_one, tensors_of
from edgecompress.task.decoded import decoding
from edgecompress.task.guard import Batches, NoBatches, explain, user_code
from edgecompress.task.inputs import wrong_count, wrong_kind, wrong_shape
from edgecompress.task.seed import generators_kept, seed_everything
from edgecompress.task.words import came

METHODS = ("train_data", "calibration_data", "validation_data", "eval_data")
_ELSE = {"calibration_data": "train_data", "validation_data": "eval_data"}
"""What stands in for a method that is not written."""
_SEEDS = (1_000_005, 1_000_006)  # "epochs" that no training reaches
_FEW = 4
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Reads:
    """What of a task a command reads."""

    methods: tuple[str, ...] = METHODS
    """To be looked at."""
    needed: tuple[str, ...] = METHODS
    """Those among them that must give batches; others may be left unwritten."""
    captured: tuple[str, ...] = METHODS
    """Those whose batches run through a captured graph, or a file: they have one shape."""
    trains: bool = True
    """Whether the loss is used."""


def check_data(task: Task, model: nn.Module, reads: Reads, seed: int) -> None:
    """Run the model, the loss and the metric on a few samples of one batch of each method.

    Nothing of it is seen later: the global generators and the task's own are put back, and no
    worker process is left.

    Args:
        task: guarded (`task.guard`).
        model: `task.model()`, in eval mode.
        reads: what is looked at.
        seed: of the recipe.

    Raises:
        TaskError: what came, what was wanted, and what to do.

    """
    with generators_kept(task), warnings.catch_warnings():
        # What a metric says of so few samples is of no interest.
        warnings.simplefilter("ignore")
        _check_metric(task)
        look = _Look(task, model, task.example_inputs())
        needed, captured = (_written(task, names) for names in (reads.needed, reads.captured))
        for name in _written(task, reads.methods):
            batch = _first(task, name, seed, is_needed=name in needed)
            if batch is None:
                continue
            with user_code(f"{type(task).__name__}.{name}() batch 0"):
                look.inputs(name, batch, is_fixed=name in captured)
            if name == "train_data":
                if reads.trains:
                    look.loss(name, batch)
            elif name == "calibration_data":
                look.outputs(name, _few(batch))
            else:
                look.metric(name, batch)
            if name == "eval_data":
                _check_order(task, batch, seed)


@dataclass(frozen=True)
class _Look:
    task: Task
    model: nn.Module
    examples: tuple[Tensor, ...]

    def inputs(self, name: str, batch: Batch, *, is_fixed: bool) -> None:
        """Against the examples."""
        where, inputs = self._where(name), inputs_of(batch)
        fault = wrong_count(inputs, self.examples)
        if fault is not None:
            raise TaskError(f"{where}: {fault}")
        many = len(inputs) > 1
        names = [f"input {i}" if many else "the input" for i in range(1, len(inputs) + 1)]
        named = list(zip(names, inputs, self.examples, strict=True))
        for each in named:
            fault = wrong_kind(*each)
            if fault is not None:
                raise TaskError(f"{where}: {fault}")
        for each in named:
            fault = wrong_shape(*each)
            if fault is not None:
                self._shape(f"{where}: {fault}", batch, is_fixed=is_fixed)

    def _shape(self, text: str, batch: Batch, *, is_fixed: bool) -> None:
        """A model of convolutions alone may take other sizes, where only torch runs it."""
        try:
            with torch.no_grad():
                _run(self.model, inputs_of(_few(batch)))
        except Exception as error:
            raise TaskError(f"{text}; on these it raises {explain(error)}") from error
        if is_fixed:
            raise TaskError(text)

    def outputs(self, name: str, batch: Batch, model: nn.Module | None = None) -> Any:
        """What the model puts out."""
        model = self.model if model is None else model
        with user_code(f"{self._where(name)}: the model on it"):
            try:
                return _run(model, inputs_of(batch))
            except IndexError as error:
                raise TaskError(f"{self._where(name)}: {_ids(error, model)}") from error

    def loss(self, name: str, batch: Batch) -> None:
        """In eval mode on a few samples; where that fails, as training does it."""
        try:
            self._loss(name, _few(batch), self.model)
        except TaskError:
            self._loss(name, batch, copy.deepcopy(self.model).train())

    def _loss(self, name: str, batch: Batch, model: nn.Module) -> None:
        with torch.enable_grad():
            loss = self.task.loss(self.outputs(name, batch, model), batch[1])
        if not loss.requires_grad and any(p.requires_grad for p in model.parameters()):
            raise TaskError(
                f"{type(self.task).__name__}.loss(): its result has no gradient; compute it from"
                " the outputs, without detach() or numbers in between"
            )

    @torch.no_grad()
    def metric(self, name: str, batch: Batch) -> None:
        """On a few samples; where that fails, on all."""
        try:
            self._metric(name, _few(batch))
        except TaskError:
            self._metric(name, batch)

    def _metric(self, name: str, batch: Batch) -> None:
        metric = self.task.metric()
        self.task.update(metric, decoding(self.task)(self.outputs(name, batch)), batch[1])
        try:
            value = metric.compute()
        except Exception:
            return  # Some need more samples, and on all of them it is computed again.
        try:
            float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TaskError(
                f"{type(self.task).__name__}.metric(): {type(metric).__name__} gives {came(value)};"
                " it must give one number"
            ) from None

    def _where(self, name: str) -> str:
        return f"{type(self.task).__name__}.{name}() batch 0"


def _written(task: Task, methods: Iterable[str]) -> list[str]:
    """The methods themselves, or what stands in for them; each once."""
    found = {
        _ELSE[name] if getattr(type(task), name) is getattr(Task, name) else name
        for name in methods
    }
    return [name for name in METHODS if name in found]


def _check_metric(task: Task) -> None:
    if task.metric() is task.metric():
        raise TaskError(
            f"{type(task).__name__}.metric(): gives the same object twice, which would count the"
            " samples of both; make one at every call"
        )


def _first(task: Task, name: str, seed: int, *, is_needed: bool) -> Batch | None:
    """None where there is none, and none is needed."""
    seed_everything(seed, _SEEDS[0])
    try:
        return _renewed(task, name).first()
    except TaskError as error:
        unwritten = isinstance(error, NoBatches) or isinstance(error.__cause__, NotImplementedError)
        if is_needed or not unwritten:
            raise
    return None


def _renewed(task: Task, name: str) -> Batches:
    """What the method gives, which must be another iterator at every call, if it is one."""
    batches: Batches = getattr(task, name)()
    if isinstance(batches.data, Iterator) and getattr(task, name)().data is batches.data:
        raise TaskError(
            f"{type(task).__name__}.{name}(): gives the same iterator at every call, which after"
            " one epoch is empty; give a list or a DataLoader, or write the method with yield"
        )
    return batches


def _check_order(task: Task, first: Batch, seed: int) -> None:
    """What shuffles gives another first batch with another seed; what goes on where it was, with
    any.
    """
    seed_everything(seed, _SEEDS[1])
    if not _equal(first, _renewed(task, "eval_data").first()):
        raise TaskError(
            f"{type(task).__name__}.eval_data(): its first batch is another one at the second call;"
            " give a fixed order: no shuffling, no random augmentation, no iterator that goes on"
        )


def _equal(a: Batch, b: Batch) -> bool:
    pairs = [tensors_of(tuple(batch)) for batch in (a, b)]
    return len(pairs[0]) == len(pairs[1]) and all(
        x.shape == y.shape
        and torch.allclose(x.double(), y.double(), _TOLERANCE, _TOLERANCE**2, equal_nan=True)
        for x, y in zip(*pairs, strict=True)
    )


def _few(batch: Batch) -> Batch:
    """The first samples, and those with the smallest and the largest integers, which an embedding
    may lack; the whole batch where the target cannot be cut likewise.
    """
    inputs = inputs_of(batch)
    count = len(inputs[0])
    rows = set(range(min(_FEW, count)))
    for x in inputs:
        if not (x.is_complex() or x.is_floating_point()) and x[0].numel():
            rows |= {int(i) // x[0].numel() for i in (x.long().argmin(), x.long().argmax())}
    parts = [y for y in tree_leaves(batch[1]) if y is not None]
    if not all(isinstance(y, Tensor) and y.ndim and len(y) == count for y in parts):
        return batch
    chosen = torch.tensor(sorted(rows))

    def cut(part: Any) -> Any:
        return tree_map(lambda x: None if x is None else x[chosen], part)

    return cut(batch[0]), cut(batch[1])


def _run(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Sample by sample where the model fixes its batch size."""
    outputs, failure = None, None
    try:
        outputs = model(*inputs)
    except Exception as error:
        failure = error
    count = len(inputs[0])
    if failure is None and _is_of(outputs, count):
        return outputs
    try:
        single = one_by_one(model, inputs)
    except Exception:
        single = None
    if single is not None and _is_of(single, count):
        return single
    if failure is not None:
        raise failure
    return outputs


def _is_of(outputs: Any, samples: int) -> bool:
    return all(x.ndim and len(x) == samples for x in tensors_of(outputs))


def _ids(error: IndexError, model: nn.Module) -> str:
    """Which embedding lacks which row, where that is what it is about."""
    names = {module: name for name, module in model.named_modules()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer, ids = frame.f_locals.get("self"), frame.f_locals.get("input")
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and isinstance(ids, Tensor):
            return (
                f"integers from {int(ids.min())} to {int(ids.max())} came; the model's embedding"
                f" '{names.get(layer, '')}' has rows 0 to {layer.num_embeddings - 1}"
            )
    return f"the model on it: {explain(error)}"
