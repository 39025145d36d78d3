"""The user's own code, called so that whatever it raises or gives wrongly becomes one line."""

import pickle
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from edgecompress.errors import EdgecompressError, TaskError
from edgecompress.packages import misfit
from edgecompress.task.base import Batch, ClassificationTask, Task, inputs_of

_CALLED = ("model", "example_inputs", "metric", "update", "labels")
_LOSSES = ("loss", "distillation_loss")
_TRAINING_DATA = ("train_data", "calibration_data")
_SCORED_DATA = ("eval_data", "validation_data")
_PACKAGE = Path(__file__).resolve().parent.parent
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def guard(task: Task) -> None:
    """From here on every method of `task` raises TaskError, and its batches are checked.

    Done once, where a task enters, on the object itself: so nobody who calls it needs to care,
    and it stays an instance of the user's class.
    """
    for name in _CALLED:
        setattr(task, name, partial(_call, getattr(task, name), _where(task, name)))
    for name in _LOSSES:
        setattr(task, name, partial(_loss, getattr(task, name), _where(task, name)))
    classes = task.classes if isinstance(task, ClassificationTask) else None
    # Training labels may be anything that a loss of the user's own takes, such as mixtures.
    trained = classes if type(task).loss is ClassificationTask.loss else None
    for names, labels_below in ((_TRAINING_DATA, trained), (_SCORED_DATA, classes)):
        for name in names:
            data = partial(_data, getattr(task, name), _where(task, name), labels_below)
            setattr(task, name, data)


@contextmanager
def user_code(where: str) -> Iterator[None]:
    """Raises TaskError, 'where: what; look at file:line', for whatever is raised inside."""
    try:
        yield
    except EdgecompressError:
        raise
    # SystemExit: a library that gives up in its own way is no reason to end without a word.
    except (Exception, SystemExit) as error:
        raise TaskError(f"{where}: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """Type and first line of an exception, and the last line of the user's that led to it."""
    if isinstance(error, pickle.UnpicklingError) and "weights" in str(error).lower():
        text = (
            "torch.load(weights_only=True) refuses the file, because it holds more than tensors;"
            " save the model's state_dict() and load that"
        )
    else:
        first = (str(error).strip() or "no message").splitlines()[0]
        text = "; ".join(filter(None, (f"{type(error).__name__}: {first}", misfit(error))))
    place = _users_line(error.__traceback__)
    return f"{text}; look at {place}" if place else text


def check_batch(batch: object, where: str) -> None:
    """Raises TaskError when it is not (inputs, target) with tensors of the same many samples."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TaskError(f"{where} is not (inputs, target); give pairs")
    inputs = inputs_of((batch[0], batch[1]))
    if not all(isinstance(tensor, Tensor) for tensor in inputs):
        raise TaskError(f"{where}: every input must be a tensor")
    sizes = [tensor.shape[0] if tensor.ndim else 0 for tensor in inputs]
    if not sizes or len(set(sizes)) > 1 or not sizes[0]:
        raise TaskError(f"{where}: inputs must hold the same number of samples, not 0: {sizes}")


def check_labels(target: Any, where: str, classes: int) -> None:
    """Raises TaskError unless `target` is integers [N], each in 0 .. classes - 1."""
    try:
        labels = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(f"{where}: labels are not a tensor: {error}") from None
    if labels.ndim != 1 or labels.is_floating_point():
        raise TaskError(
            f"{where}: labels must be integers of shape [N],"
            f" got {labels.dtype} of shape {list(labels.shape)}"
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise TaskError(
            f"{where}: label {int(wrong[0])} is out of range;"
            f" with classes = {classes} labels are 0 to {classes - 1}"
        )


def is_library(file: Path) -> bool:
    """Whether a source file is Python's, an installed package's or ours."""
    # The text first, because resolving the thousands of files of torch takes half a second.
    if "site-packages" in file.parts or file.is_relative_to(_STANDARD_LIBRARY):
        return True
    path = file.resolve()
    return path.is_relative_to(_PACKAGE) or path.is_relative_to(_STANDARD_LIBRARY)


class Batches:
    """What a data method gave, with every batch checked on its way."""

    def __init__(self, data: Iterable[Batch], where: str, classes: int | None) -> None:
        self._data = data
        self._where = where
        self._classes = classes

    def __iter__(self) -> Iterator[Batch]:
        index = -1
        with user_code(self._where):
            for index, batch in enumerate(self._data):
                where = f"{self._where} batch {index}"
                check_batch(batch, where)
                if self._classes is not None:
                    check_labels(batch[1], where, self._classes)
                yield batch
        if index < 0:
            raise TaskError(f"{self._where}: gives no batches; check where the data comes from")


class SizedBatches(Batches):
    """Batches whose number is known beforehand."""

    def __init__(self, data: Iterable[Batch], where: str, classes: int | None, length: int) -> None:
        super().__init__(data, where, classes)
        self._length = length

    def __len__(self) -> int:
        return self._length


def _where(task: Task, method: str) -> str:
    return f"{type(task).__name__}.{method}()"


def _call(method: Callable[..., Any], where: str, *args: Any, **kwargs: Any) -> Any:
    with user_code(where):
        return method(*args, **kwargs)


def _loss(method: Callable[..., Any], where: str, *args: Any, **kwargs: Any) -> Tensor:
    loss = _call(method, where, *args, **kwargs)
    if not isinstance(loss, Tensor) or loss.ndim:
        got = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TaskError(f"{where}: gives {got}; return a scalar tensor, such as loss.mean()")
    return loss


def _data(method: Callable[[], Iterable[Batch]], where: str, classes: int | None) -> Batches:
    with user_code(where):
        data = method()
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        raise TaskError(f"{where}: gives {type(data).__name__}; return or yield batches")
    try:
        length = len(data)  # type: ignore[arg-type]  # asked, because a DataLoader may not know
    except TypeError:
        return Batches(data, where, classes)
    return SizedBatches(data, where, classes, length)


def _users_line(trace: TracebackType | None) -> str | None:
    """'file:line' of the innermost frame in a file that is neither a library's nor ours."""
    place = None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and not is_library(Path(file)):
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
