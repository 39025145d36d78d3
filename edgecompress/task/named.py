"""Inputs that have names: batches that are dictionaries, and models that are called with keywords.

A task whose `example_inputs()` gives a dictionary may have such batches. They become pairs here,
where they come in, so that all that follows knows tuples alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any

from torch import nn

from edgecompress.errors import TaskError
from edgecompress.task.base import Task
from edgecompress.task.seed import generators_kept
from edgecompress.task.words import came

_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class ByName(nn.Module):
    """A model that is called with keywords, because forward() has its inputs in another order, or
    others before them. Its modules' paths begin with `model.`.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Any) -> Any:
        """What the model gives for these, which are in the order of `names`."""
        return self.model(**dict(zip(self.names, inputs, strict=True)))


class Named:
    """The names of a task's inputs, if they have any, and what follows from them."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._examples: Callable[[], Any] = task.example_inputs
        self._model: Callable[[], Any] = task.model
        self._names: tuple[str, ...] | None = None
        self._is_known = False

    def examples(self) -> Any:
        """What `example_inputs()` gives; of a dictionary, its values."""
        given = self._examples()
        items = _items(given)
        self._names, self._is_known = None if items is None else tuple(items), True
        return given if items is None else tuple(items.values())

    def model(self) -> Any:
        """What `model()` gives, such that it takes the inputs in the order of the examples."""
        model, names = self._model(), self.names()
        if names is None or not isinstance(model, nn.Module) or _takes(model, names):
            return model
        return ByName(model, names)

    def names(self) -> tuple[str, ...] | None:
        """The inputs' names, in order; None where they have none."""
        if not self._is_known:
            # Examples may be drawn, and nobody expects that to happen here.
            with generators_kept(self._task):
                self.examples()
        return self._names

    def pair(self, batch: Any, where: str) -> Any:
        """(inputs, target) of a dictionary or a dataclass; anything else as it is.

        Raises:
            TaskError: an input is missing; it begins with `where`.

        """
        is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        items = _items(batch[0] if is_pair else batch)
        names = None if items is None else self.names()
        if items is None or names is None:
            return batch
        missing = [name for name in names if name not in items]
        if missing:
            raise TaskError(
                f"{where}: lacks {', '.join(missing)}, as example_inputs() has; it is {came(items)}"
            )
        inputs = tuple(items.pop(name) for name in names)
        if is_pair:
            return inputs, batch[1]
        return inputs, items if len(items) > 1 else next(iter(items.values()), None)


def _items(value: Any) -> dict[str, Any] | None:
    """What a mapping or a dataclass holds; None for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _takes(model: nn.Module, names: tuple[str, ...]) -> bool:
    """Whether forward() has these first, in this order."""
    parameters = signature(model.forward).parameters.values()
    return tuple(p.name for p in parameters if p.kind in _BY_PLACE)[: len(names)] == names
