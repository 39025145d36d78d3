"""The user's own code, called so that whatever it raises or gives wrongly becomes one line."""

import copy
import pickle
import sysconfig
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from edgecompress.errors import EdgecompressError, TaskError
from edgecompress.packages import misfit
from edgecompress.task.base import Batch, Task
from edgecompress.task.batches import Rules
from edgecompress.task.named import Named

_CALLED = (
    "model", "example_inputs", "metric", "update", "in_order_of", "labels", "preprocessing",
    "decoder",
)  # fmt: skip
_LOSSES = ("loss", "distillation_loss")
_TRAINING_DATA = ("train_data", "calibration_data")
_SCORED_DATA = ("eval_data", "validation_data")
_KINDS = ("edgecompress.task.base", "edgecompress.task.kinds.")
_PACKAGE = Path(__file__).resolve().parent.parent
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def guard(task: Task) -> None:
    """From here on every method of `task` raises TaskError, and its batches are checked.

    Done once, where a task enters, on the object itself: so nobody who calls it needs to care,
    and it stays an instance of the user's class.
    """
    named = Named(task)
    by_name = {"model": named.model, "example_inputs": named.examples}
    for name in _CALLED:
        method = by_name.get(name, getattr(task, name))
        setattr(task, name, partial(_call, method, _where(task, name)))
    for name in _LOSSES:
        setattr(task, name, partial(_loss, getattr(task, name), _where(task, name)))
    # Training targets may be anything that a loss of the user's own takes, such as mixtures.
    wrong = None if _has_own_loss(type(task)) else task.wrong_training_target
    trained, scored = Rules(wrong, named.pair), Rules(task.wrong_target, named.pair)
    for names, rules in ((_TRAINING_DATA, trained), (_SCORED_DATA, scored)):
        for name in names:
            setattr(task, name, partial(_data, getattr(task, name), _where(task, name), rules))


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


def is_library(file: Path) -> bool:
    """Whether a source file is Python's, an installed package's or ours."""
    # The text first, because resolving the thousands of files of torch takes half a second.
    if "site-packages" in file.parts or file.is_relative_to(_STANDARD_LIBRARY):
        return True
    path = file.resolve()
    return path.is_relative_to(_PACKAGE) or path.is_relative_to(_STANDARD_LIBRARY)


class NoBatches(TaskError):
    """A data method gives nothing."""


class Batches:
    """What a data method gave, each batch checked as it is drawn."""

    def __init__(self, data: Iterable[Batch], where: str, rules: Rules) -> None:
        self.data = data
        """As it was given."""
        self.where = where
        self._rules = rules

    def __iter__(self) -> Iterator[Batch]:
        return self._checked(self.data)

    def first(self) -> Batch:
        """The first batch alone, which costs little more than itself."""
        with closing(self._checked(_alone(self.data))) as batches:
            return next(batches)

    def _checked(self, data: Iterable[Batch]) -> Generator[Batch, None, None]:
        index = -1
        with user_code(self.where):
            for index, batch in enumerate(data):
                yield self._rules.checked(batch, f"{self.where} batch {index}")
        if index < 0:
            raise NoBatches(
                f"{self.where}: gives no batches; check where the data comes from, and that every"
                " call begins anew"
            )


class SizedBatches(Batches):
    """Batches whose number is known beforehand."""

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]  # it was asked before


def _has_own_loss(task: type[Task]) -> bool:
    """Whether it trains with another loss than that of its kind, if the kind has one."""
    kind = next(base for base in task.__mro__ if base.__module__.startswith(_KINDS))
    assert issubclass(kind, Task), "Task itself is one"
    is_written = not getattr(kind.loss, "__isabstractmethod__", False)
    return is_written and task.loss is not kind.loss


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


def _data(method: Callable[[], Iterable[Batch]], where: str, rules: Rules) -> Batches:
    with user_code(where):
        data = method()
    if isinstance(data, Batches):
        # Another method's, which names itself where they are wrong.
        return type(data)(data.data, data.where, rules)
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        raise TaskError(f"{where}: gives {type(data).__name__}; return or yield batches")
    try:
        len(data)  # type: ignore[arg-type]  # asked, because a DataLoader may not know
    except TypeError:
        return Batches(data, where, rules)
    return SizedBatches(data, where, rules)


def _alone(data: Iterable[Batch]) -> Iterable[Batch]:
    """The same, for one batch: a DataLoader starts one worker instead of all of them, which ends
    when the batch is there. One it must be, because a dataset may ask which worker it is in.
    """
    if not isinstance(data, DataLoader) or not data.num_workers:
        return data
    alone = copy.copy(data)
    # By way of the dictionary, because a DataLoader lets nobody set them later.
    alone.__dict__ |= {
        "num_workers": 1,
        "prefetch_factor": 1,
        "persistent_workers": False,
        "_iterator": None,
    }
    return alone


def _users_line(trace: TracebackType | None) -> str | None:
    """'file:line' of the innermost frame in a file that is neither a library's nor ours."""
    place = None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and not is_library(Path(file)):
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
