"""Hugging Face's Trainer: its model, data sets, collator and metrics.

A file takes inputs of one shape, so sequences are padded to the longest that there is.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from edgecompress.adapters.computed import computed
from edgecompress.adapters.parts import Asked, Parts
from edgecompress.adapters.tokens import declared_text
from edgecompress.errors import TaskError
from edgecompress.task.base import inputs_of
from edgecompress.task.given import Scoring
from edgecompress.task.guard import user_code
from edgecompress.task.load import check_weights
from edgecompress.task.words import came

_IDS, _MASK = "input_ids", "attention_mask"
_LABELS = ("label", "label_ids", "labels")
_IGNORED = -100
"""The label of a token that does not count."""
_UNNAMED = "LABEL_0"
"""What a configuration calls a class that nobody named."""


def parts_of(asked: Asked) -> Parts:
    """The Trainer's model with logits as its only output, and its data in batches of one shape.

    Raises:
        TaskError: the Trainer lacks a model or data, or has some that cannot be used.

    """
    trainer = asked.model
    if not isinstance(trainer.model, nn.Module):
        raise TaskError(f"model: the Trainer has {came(trainer.model)} for one; give it a model")
    check_weights(trainer.model, "model")
    if trainer.eval_dataset is None:
        raise TaskError("evaluate: the Trainer has no eval_dataset; give it one")
    _check_data("evaluate", trainer.eval_dataset)
    collate = Collate.of(trainer)
    first = _loader(trainer, "evaluate", collate)
    with user_code("evaluate: the Trainer's data_collator"):
        pairs = Pairs.of(trainer, collate, next(iter(first)))
    logits = Logits(trainer.model, pairs.inputs)
    evaluate = _loader(trainer, "evaluate", pairs)
    train = None
    if trainer.train_dataset is not None:
        _check_data("train", trainer.train_dataset)
        train = _loader(trainer, "train", pairs)
    metric = None
    if trainer.compute_metrics is not None and not asked.has_metric:
        with torch.no_grad(), user_code("model"):
            batch = next(iter(evaluate))
            outputs = copy.deepcopy(logits).eval()(*inputs_of(batch))
        metric = computed(trainer, outputs, batch[1])
    return Parts(
        logits,
        evaluate if asked.evaluate is None else asked.evaluate,
        train if asked.train is None else asked.train,
        Scoring(metric=metric, labels=_labels(trainer.model)),
        type(trainer.model).__name__,
        preprocessing=None
        if asked.evaluate is not None
        else declared_text(trainer, pairs.inputs, collate.length),
    )


class Logits(nn.Module):
    """A model of transformers that is called by place, and gives its logits alone. Its modules'
    paths begin with `model.`.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        """The logits of inputs that are in the order of `names`."""
        outputs = self.model(**dict(zip(self.names, inputs, strict=True)))
        logits = getattr(outputs, "logits", None)
        if not isinstance(logits, Tensor):
            raise TaskError(
                f"model: {type(self.model).__name__} gives {came(outputs)}; it must have logits"
                " among them, as a model for classification does"
            )
        return logits


@dataclass(frozen=True)
class Collate:
    """A Trainer's collator, whose batches all get one shape."""

    collator: Callable[[list[Any]], Any]
    columns: frozenset[str] | None
    """What of a row the model takes; None: all of it."""
    length: int | None
    """How long sequences are; None: there are none."""
    pad_id: int
    on_the_left: bool

    @classmethod
    def of(cls, trainer: Any) -> "Collate":
        """That of a Trainer, with the longest sequence of its data sets."""
        columns = None
        if trainer.args.remove_unused_columns:
            taken = signature(trainer.model.forward).parameters
            columns = frozenset([*taken, *_LABELS, *trainer.label_names])
        tokenizer, config = trainer.processing_class, getattr(trainer.model, "config", None)
        pad_id = getattr(tokenizer, "pad_token_id", None)
        pad_id = getattr(config, "pad_token_id", None) if pad_id is None else pad_id
        on_the_left = getattr(tokenizer, "padding_side", "right") == "left"
        plain = cls(
            trainer.data_collator, columns, None, 0 if pad_id is None else pad_id, on_the_left
        )
        data = [each for each in (trainer.eval_dataset, trainer.train_dataset) if each is not None]
        with user_code("evaluate: the Trainer's data"):
            rows = [row for row in map(_longest, data) if row is not None]
            length = max((plain([row])[_IDS].shape[1] for row in rows), default=None)
        return cls(plain.collator, columns, length, plain.pad_id, on_the_left)

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        """A batch of tensors by their names."""
        if self.columns is not None and isinstance(rows[0], Mapping):
            rows = [{key: row[key] for key in row if key in self.columns} for row in rows]
        batch = dict(self.collator(rows))
        width = batch[_IDS].shape[1] if _IDS in batch else None
        if self.length is None or width is None or width == self.length:
            return batch
        if _MASK not in batch:
            raise TaskError(
                f"evaluate: batches of {width} and of {self.length} tokens came, without an"
                " attention_mask; let the tokenizer pad all to one length, or give a mask"
            )
        return {name: self._padded(name, value, width) for name, value in batch.items()}

    def _padded(self, name: str, value: Any, width: int) -> Any:
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] != width:
            return value
        assert self.length is not None, "asked before"
        missing = self.length - width
        fill = self.pad_id if name == _IDS else _IGNORED if name in _LABELS else 0
        return functional.pad(value, (missing, 0) if self.on_the_left else (0, missing), value=fill)


@dataclass(frozen=True)
class Pairs:
    """Its batches as (inputs, target)."""

    collate: Collate
    inputs: tuple[str, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, trainer: Any, collate: Collate, batch: Mapping[str, Any]) -> "Pairs":
        """The names that a batch has. Raises TaskError where it has no labels."""
        labels = tuple(name for name in trainer.label_names if name in batch)
        if not labels:
            raise TaskError(f"evaluate: a batch has no labels; it is {came(batch)}")
        taken = signature(trainer.model.forward).parameters
        inputs = [name for name in taken if isinstance(batch.get(name), Tensor)]
        return cls(collate, tuple(name for name in inputs if name not in labels), labels)

    def __call__(self, rows: list[Any]) -> tuple[Any, Any]:
        batch = self.collate(rows)
        inputs = tuple(batch[name] for name in self.inputs)
        if len(self.labels) == 1:
            return inputs, batch[self.labels[0]]
        return inputs, {name: batch[name] for name in self.labels}


def _loader(trainer: Any, name: str, collate: Callable[[list[Any]], Any]) -> DataLoader[Any]:
    if name == "train":
        size = trainer.args.per_device_train_batch_size
        return DataLoader(trainer.train_dataset, size, shuffle=True, collate_fn=collate)
    size = trainer.args.per_device_eval_batch_size
    return DataLoader(trainer.eval_dataset, size, collate_fn=collate)


def _check_data(name: str, data: Any) -> None:
    if isinstance(data, Mapping):
        raise TaskError(f"{name}: the Trainer has {len(data)} data sets for it; give it one")
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise TaskError(f"{name}: {came(data)} has no length; give a data set with one")


def _longest(data: Any) -> Any:
    """The row with the most tokens; None where rows have none."""
    if not isinstance(data[0], Mapping) or _IDS not in data[0]:
        return None
    # A column at once, where there are such: rows are slow.
    ids = data[_IDS] if hasattr(data, "column_names") else (row[_IDS] for row in data)
    lengths = [len(each) for each in ids]
    return data[lengths.index(max(lengths))]


def _labels(model: nn.Module) -> tuple[str, ...] | None:
    """Names of the classes, where somebody gave some."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    if not isinstance(names, Mapping) or not names or _UNNAMED in names.values():
        return None
    return tuple(str(names[index]) for index in sorted(names))
