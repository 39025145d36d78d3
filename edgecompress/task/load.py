"""From `task:` in deploy.yaml to the user's Task, and what it depends on as one digest."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from abc import ABC
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import torch
from torch import Tensor, nn

from edgecompress.artifact import sha256_of
from edgecompress.errors import SpecError, TaskError
from edgecompress.spec.base import digest
from edgecompress.spec.deploy import TaskRef
from edgecompress.spec.preprocessing import (
    AnyPreprocessing,
    ImagePreprocessing,
    TextPreprocessing,
)
from edgecompress.task.base import Task, tensors_of
from edgecompress.task.decoded import decoding
from edgecompress.task.guard import guard, is_library, user_code
from edgecompress.task.inputs import wrong_example
from edgecompress.task.metric import Metric
from edgecompress.task.sources import SourceLoader
from edgecompress.task.structures import learn_structures
from edgecompress.task.words import came, name_of

_SOURCE = "_edgecompress_source"
GIVEN = "given"
"""In the place of a file, of tasks that were made of objects (`given.py`)."""
_OURS = __name__.partition(".")[0]
_KINDS = ("edgecompress.task.kinds.", "edgecompress.task.metrics.")
"""What of ours runs as a task's own code: no stage names it, so it is a source of the task."""


def load_task(ref: TaskRef, folder: Path) -> Task:
    """Import and construct the user's task.

    Args:
        ref: `task:` of deploy.yaml.
        folder: that of deploy.yaml; paths are relative to it.

    Raises:
        TaskError: it cannot be imported, is no Task, or its constructor fails.
        SpecError: a declared file is missing.

    """
    for name in ref.files:
        if not (folder / name).is_file():
            raise SpecError(f"task.files: {folder / name}: no such file")
    where, _, name = ref.path.partition(":")
    if where == GIVEN:
        raise TaskError(
            f"task.path: {ref.path}: was given to edgecompress.compress() from memory, and lies in"
            " no file; write a Task, or call it again"
        )
    module = _import(where, folder)
    known = [n for n, value in vars(module).items() if _is_task(value)]
    task_class = getattr(module, name, None)
    if not _is_task(task_class):
        abstract = sorted(getattr(task_class, "__abstractmethods__", ()))
        raise TaskError(
            f"{ref.path}: '{name}' lacks {', '.join(abstract)}; write what is missing"
            if abstract
            else f"{ref.path}: {where} has no Task called '{name}';"
            f" it has: {', '.join(known) or 'none'}"
        )
    with user_code(f"{ref.path}: {name}()"):
        task: Task = task_class(**ref.options)
        vars(task)[_SOURCE] = (ref, folder)
        return entered(task)


def entered(task: Task) -> Task:
    """A task from here on guarded. Raises TaskError where its metric is none."""
    guard(task)
    _check_metric(task)
    return task


def source_of(task: Task) -> tuple[TaskRef, Path] | None:
    """What `load_task` was given to load it; None: somebody else made it."""
    source: tuple[TaskRef, Path] | None = vars(task).get(_SOURCE)
    return source


def folders_of(ref: TaskRef, folder: Path) -> list[Path]:
    """Where the task's own files lie, as far as that is known before it is imported."""
    where = ref.path.partition(":")[0]
    if where.endswith(".py"):
        return [(folder / where).parent]
    try:
        spec = importlib.util.find_spec(where.partition(".")[0])
    except (ImportError, ValueError):
        return []
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    return [Path(place) for place in places if not is_library(Path(place))]


def original_model(task: Task) -> nn.Module:
    """`task.model()`, checked: a module, that takes the example inputs.

    Raises:
        TaskError: it is not, or does not.

    """
    name = type(task).__name__
    model = task.model()
    if not isinstance(model, nn.Module):
        raise TaskError(f"{name}.model(): gives {type(model).__name__}, not a torch.nn.Module")
    check_weights(model, f"{name}.model()")
    inputs = task.example_inputs()
    _check_examples(inputs, f"{name}.example_inputs()")
    _check_preprocessing(task.preprocessing(), inputs, f"{name}.preprocessing()")
    model.eval()
    with user_code(f"{name}: model(*example_inputs())"), torch.no_grad():
        outputs = model(*inputs)
        learn_structures(outputs)
    tensors = tensors_of(outputs)
    if not tensors:
        raise TaskError(f"{name}: the model gives {type(outputs).__name__}; it must give tensors")
    shapes = [list(tensor.shape) for tensor in tensors]
    with user_code(f"{name}: what the model gives for example_inputs()"):
        fault = task.wrong_outputs(decoding(task)(outputs))
    if fault is not None:
        raise TaskError(
            f"{name}: the model's outputs have shapes {shapes} on example_inputs(); {fault}"
        )
    return model


def check_weights(model: nn.Module, where: str) -> None:
    """Raises TaskError unless they lie in the CPU's memory, as float32 and as numbers."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.device.type == "meta":
            raise TaskError(f"{where}: '{name}' is on the meta device, without values; load them")
        if tensor.device.type != "cpu":
            raise TaskError(
                f"{where}: '{name}' is on {tensor.device}; everything runs on the CPU: return"
                " model.cpu(), and load weights with map_location='cpu'"
            )
    for name, tensor in model.named_parameters():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise TaskError(
                f"{where}: '{name}' is {name_of(tensor.dtype)}; a model comes in float32: return"
                " model.float()"
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise TaskError(f"{where}: '{name}' holds NaN or infinity; load other weights")


def _check_examples(inputs: object, where: str) -> None:
    """They are data as the device gives it."""
    if not isinstance(inputs, tuple) or not inputs or not all(torch.is_tensor(x) for x in inputs):
        raise TaskError(f"{where}: must be a tuple of tensors, such as (x,), not {came(inputs)}")
    for i, x in enumerate(inputs, start=1):
        fault = wrong_example(f"input {i}", x)
        if fault is not None:
            raise TaskError(f"{where}: {fault}")


def _check_preprocessing(declared: object, inputs: tuple[Tensor, ...], where: str) -> None:
    """It gives what the example is of."""
    if declared is None:
        return
    if not isinstance(declared, AnyPreprocessing):
        raise TaskError(
            f"{where}: gives {came(declared)}; give an ImagePreprocessing, an AudioPreprocessing, a"
            " TextPreprocessing, or None"
        )
    shapes = _shapes_of(declared)
    kinds: tuple[str, ...] = ("float",)
    what = f"a float input of {shapes[0]}"
    if isinstance(declared, TextPreprocessing):
        kinds, what = declared.inputs, f"inputs {list(declared.inputs)} of {shapes[0]}"
    fits = len(inputs) == len(kinds) and all(list(x.shape) in shapes for x in inputs)
    if not fits or any(
        kind in ("float", "tokens") and x.is_floating_point() != (kind == "float")
        for kind, x in zip(kinds, inputs, strict=True)
    ):
        raise TaskError(
            f"{where}: declares {what}, and example_inputs() gives {', '.join(map(came, inputs))};"
            " one of the two must change"
        )


def _shapes_of(declared: AnyPreprocessing) -> list[list[int]]:
    """Those that each input of the example may have."""
    if isinstance(declared, ImagePreprocessing):
        return [[1, declared.channels, *declared.size]]
    if isinstance(declared, TextPreprocessing):
        return [[1, declared.length]]
    whole = [1, declared.channels, declared.samples]
    return [[1, declared.samples], whole] if declared.channels == 1 else [whole]


def _check_metric(task: Task) -> None:
    metric, where = task.metric(), f"{type(task).__name__}.metric()"
    if not isinstance(metric, Metric):
        raise TaskError(
            f"{where}: gives {type(metric).__name__}, which lacks update(), compute() or"
            " higher_is_better; give a metric, such as one of torchmetrics"
        )
    if metric.higher_is_better is None:
        raise TaskError(
            f"{where}: {type(metric).__name__} does not say which way is better;"
            " subclass it with higher_is_better = True, or False"
        )


def fingerprint(task: Task, ref: TaskRef, folder: Path, model: nn.Module) -> str:
    """sha256 over what the task is made of: its source, that of its package and of the modules
    beside it, the options, the declared files' content, and the original weights.
    """
    return digest(
        {
            "path": ref.path,
            "options": ref.options,
            "sources": sorted(sha256_of(path) for path in _sources(task, folder)),
            "files": [sha256_of(folder / name) for name in ref.files],
            "weights": state_digest(model),
        }
    )


def state_digest(model: nn.Module) -> str:
    """sha256 of a model's class names, parameters and buffers."""
    hasher = hashlib.sha256()
    for name, module in model.named_modules():
        hasher.update(f"{name}={type(module).__name__};".encode())
    for name, tensor in sorted(model.state_dict().items()):
        if torch.is_tensor(tensor):
            hasher.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            hasher.update(values.data)
    return hasher.hexdigest()


def _import(where: str, folder: Path) -> ModuleType:
    if not where.endswith(".py"):
        with user_code(f"task.path: {where} cannot be imported"):
            return importlib.import_module(where)
    path = (folder / where).resolve()
    if not path.is_file():
        raise TaskError(f"task.path: {path}: no such file")
    taken = getattr(sys.modules.get(path.stem), "__file__", None)
    if taken is not None and is_library(Path(taken)):
        raise TaskError(
            f"task.path: {path}: is named like the module '{path.stem}', which it would hide;"
            " rename it"
        )
    # The task may import modules that lie beside it.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loader = SourceLoader(path.stem, str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
    if spec is None or spec.loader is None:
        raise TaskError(f"task.path: {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        with user_code(f"task.path: {path} cannot be imported"):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(path.stem, None)
        raise
    return module


def _sources(task: Task, folder: Path) -> set[Path]:
    """Files of the imported modules that the task may run, as far as they are the user's."""
    bases = {base.__module__ for base in type(task).__mro__ if base not in (ABC, object)}
    own = {name.partition(".")[0] for name in bases} - {_OURS}
    loaded = {
        Path(file): name.partition(".")[0] in own
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and file.endswith(".py")
    }
    root = folder.resolve()
    ours = {*bases, type(task.metric()).__module__}
    kinds = {Path(str(sys.modules[name].__file__)) for name in ours if name.startswith(_KINDS)}
    return kinds | {
        path.resolve()
        for path, is_own in loaded.items()
        if (is_own or (not is_library(path) and path.resolve().is_relative_to(root)))
        and path.is_file()
    }


def _is_task(value: object) -> TypeGuard[type[Task]]:
    return isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)
