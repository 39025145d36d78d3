"""Lightning: a LightningModule with a LightningDataModule or with loaders of its own, or the
Trainer that has fitted it.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from edgecompress.adapters.loaders import converted
from edgecompress.adapters.parts import Asked, Parts
from edgecompress.errors import TaskError
from edgecompress.task.base import inputs_of
from edgecompress.task.batches import Rules
from edgecompress.task.given import Scoring
from edgecompress.task.guard import Batches, user_code
from edgecompress.task.seed import generators_kept
from edgecompress.task.words import came

_LIBRARY = ("lightning.pytorch.core.", "pytorch_lightning.core.")
"""Where hooks are defined that do nothing."""
_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer", "transfer_batch_to_device")
_LOADERS = {"train": "train_dataloader", "evaluate": "val_dataloader"}
_SPACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def parts_of(asked: Asked) -> Parts:
    """The module, its loaders, and the loss of its training_step().

    Raises:
        TaskError: a Trainer has fitted nothing, loaders are missing, or a batch is changed on its
            way to the module.

    """
    module, sources = _sources(asked)
    for source in sources:
        for hook in _HOOKS:
            if _writes(source, hook):
                raise TaskError(
                    f"model: {type(source).__name__}.{hook}() changes batches on their way, which"
                    " no file does; let the loader, or forward(), do it"
                )
    split, train, evaluate = Split.of(module), asked.train, asked.evaluate
    if evaluate is None:
        loader = _loader(asked, sources, "evaluate")
        _check_step(module, loader, split)
        evaluate = converted(loader, split)
    loss = None
    if _is_data_module(train) or (train is None and _has_training(asked, sources)):
        loss = None if asked.has_loss else StepLoss(module)
        loader = _loader(asked, sources, "train")
        train = converted(loader, split if loss is None else Whole(split))
    return Parts(module, evaluate, train, Scoring(loss=loss))


@dataclass(frozen=True)
class Split:
    """A batch of Lightning's, which is whatever its training_step() takes, as (inputs, target)."""

    names: tuple[str, ...]
    """The parameters of forward()."""
    needed: int
    """As many of them have no value by themselves."""

    @classmethod
    def of(cls, module: nn.Module) -> "Split":
        """The split for what a module's forward() takes."""
        parameters = signature(module.forward).parameters.values()
        placed = [each for each in parameters if each.kind in _SPACE]
        needed = sum(each.default is Parameter.empty for each in placed)
        return cls(tuple(each.name for each in placed), max(needed, 1))

    def __call__(self, batch: Any) -> tuple[Any, Any]:
        """Inputs are what forward() takes first, or by name; the target is what is left, and where
        nothing is, all of the batch.
        """
        if isinstance(batch, Mapping):
            inputs = tuple(batch[name] for name in self.names if name in batch)
            others = {name: value for name, value in batch.items() if name not in self.names}
            return _plain(inputs), next(iter(others.values())) if len(others) == 1 else others
        if not isinstance(batch, (tuple, list)):
            return batch, batch
        if len(batch) == 2 and isinstance(batch[0], (tuple, list)):
            return tuple(batch[0]), batch[1]
        inputs, left = tuple(batch[: self.needed]), tuple(batch[self.needed :])
        return _plain(inputs), _plain(left) if left else batch


def _plain(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


@dataclass(frozen=True)
class Whole:
    """The same for training, where training_step() is given the batch as it was."""

    split: Split

    def __call__(self, batch: Any) -> tuple[Any, Any]:
        return self.split(batch)[0], batch


class StepLoss:
    """The loss that training_step() computes, of outputs that are there already: whatever it gives
    forward(), it gets them. So the outputs may be those of a quantised graph.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __getstate__(self) -> dict[str, nn.Module]:
        # What a digest is made of: not the copy, whose metrics count the batches.
        return {"_module": self._module}

    @cached_property
    def _copied(self) -> nn.Module:
        return detached(self._module)

    def __call__(self, outputs: Any, batch: Any) -> Tensor:
        """A scalar.

        Args:
            outputs: what the model gave for the inputs of the batch.
            batch: as training_step() takes it.

        Raises:
            TaskError: the loss is not that of one call of forward().

        """
        module, name = self._copied, type(self._module).__name__
        if not getattr(module, "automatic_optimization", True):
            raise TaskError(
                f"loss: {name} optimises by hand, so its training_step() is more than a loss; give"
                " loss="
            )
        loss, calls = stepped(module, "training_step", batch, lambda *_, **__: outputs)
        if len(calls) != 1:
            raise TaskError(
                f"loss: {name}.training_step() calls self(...) {len(calls)} times, so its loss is"
                " not of what forward() gives for the batch; give loss="
            )
        loss = loss.get("loss") if isinstance(loss, Mapping) else loss
        if not isinstance(loss, Tensor):
            raise TaskError(
                f"loss: {name}.training_step() gives {came(loss)}; it must give a tensor, or a"
                " dictionary with 'loss'; or give loss="
            )
        return loss


def stepped(
    module: nn.Module, step: str, batch: Any, forward: Callable[..., Any]
) -> tuple[Any, list[tuple[Any, ...]]]:
    """What a step gives whose self(...) is `forward`, and what that was called with."""
    calls: list[tuple[Any, ...]] = []

    def told(*args: Any, **kwargs: Any) -> Any:
        calls.append((*args, *kwargs.values()))
        return forward(*args, **kwargs)

    method = getattr(module, step)
    numbers = [0] * (len(signature(method).parameters) - 1)
    vars(module)["forward"] = told
    try:
        return method(batch, *numbers), calls
    finally:
        del vars(module)["forward"]


def detached(module: nn.Module) -> nn.Module:
    """A copy that knows no Trainer, and logs nothing."""
    with user_code("model: cannot be copied"):
        other = copy.deepcopy(module)
    vars(other).update(_trainer=None, log=_no_log, log_dict=_no_log)
    return other


def _sources(asked: Asked) -> tuple[nn.Module, list[Any]]:
    """The module, and what may have loaders or hooks."""
    if isinstance(asked.model, nn.Module):
        if _is_data_module(asked.train):
            _set_up(asked.train)
            return asked.model, [asked.train, asked.model]
        return asked.model, [asked.model]
    module = asked.model.lightning_module
    if module is None:
        raise TaskError(
            "model: this Trainer has fitted nothing; give the module and the data module:"
            " compress(module, datamodule)"
        )
    data = getattr(asked.model, "datamodule", None)
    return module, [module] if data is None else [data, module]


def _set_up(data: Any) -> None:
    # A second setup() would split the data another way than training did.
    if getattr(data, "trainer", None) is None:
        with user_code(f"train: {type(data).__name__}"):
            data.prepare_data()
            data.setup("fit")


def _check_step(module: nn.Module, loader: Iterable[Any], split: Split) -> None:
    """Raises TaskError where a step makes something else of a batch before forward() has it: a
    file would then be given what the module never was.
    """
    step = "validation_step" if _writes(module, "validation_step") else "training_step"
    own = detached(module).eval()
    with generators_kept(SimpleNamespace(loader=loader)), torch.no_grad():
        inputs, batch = Batches(converted(loader, Whole(split)), "evaluate", Rules()).first()
        try:
            _, calls = stepped(own, step, copy.deepcopy(batch), own.forward)
        except Exception:
            return  # It may need a Trainer, and is the user's to call.
    given = inputs_of((inputs, None))
    if len(calls) != 1 or len(calls[0]) != len(given):
        return
    for ours, theirs in zip(given, calls[0], strict=True):
        if isinstance(theirs, Tensor) and not (ours.shape == theirs.shape and ours.equal(theirs)):
            raise TaskError(
                f"model: {type(module).__name__}.{step}() changes the batch's {came(ours)} into"
                f" {came(theirs)} for forward(), which no file does; do it in forward(), or in the"
                " loader"
            )


def _loader(asked: Asked, sources: list[Any], name: str) -> Iterable[Any]:
    """The loader for training or for evaluation.

    Raises:
        TaskError: there is none, or several.

    """
    found = _of_trainer(asked.model, name)
    for source in sources if found is None else ():
        if _writes(source, _LOADERS[name]):
            with user_code(f"{name}: {type(source).__name__}.{_LOADERS[name]}()"):
                found = getattr(source, _LOADERS[name])()
            break
    if isinstance(found, (tuple, list)) and len(found) == 1 and isinstance(found[0], DataLoader):
        found = found[0]
    several = isinstance(found, Mapping) or hasattr(found, "iterables")
    if several or (isinstance(found, (tuple, list)) and isinstance(found[0], DataLoader)):
        raise TaskError(f"{name}: {_LOADERS[name]}() gives several loaders; give {name}=, of one")
    if found is None:
        raise TaskError(
            f"{name}: {type(asked.model).__name__} has no {_LOADERS[name]}(); give a"
            f" LightningDataModule that has one, or {name}="
        )
    return found  # type: ignore[no-any-return]  # Lightning checks it


def _has_training(asked: Asked, sources: list[Any]) -> bool:
    is_there = _of_trainer(asked.model, "train") is not None
    return is_there or any(_writes(source, _LOADERS["train"]) for source in sources)


def _of_trainer(source: Any, name: str) -> Any:
    """What a Trainer that has fitted drew its batches from; None for anything else."""
    if not hasattr(source, "fit_loop"):
        return None
    return source.train_dataloader if name == "train" else source.val_dataloaders


def _writes(source: Any, name: str) -> bool:
    """Whether a module or a data module has its own, in place of what does nothing."""
    if name in vars(source):
        return True
    owner = next((base for base in type(source).__mro__ if name in vars(base)), None)
    return owner is not None and not owner.__module__.startswith(_LIBRARY)


def _is_data_module(value: object) -> bool:
    return any(base.__name__ == "LightningDataModule" for base in type(value).__mro__)


def _no_log(*args: Any, **kwargs: Any) -> None:
    pass
