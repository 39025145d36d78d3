"""From `task:` in deploy.yaml to the user's Task, and what it depends on as one digest."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from edgecompress.artifact import sha256_of
from edgecompress.errors import EdgecompressError, SpecError, TaskError
from edgecompress.spec.base import digest
from edgecompress.spec.deploy import TaskRef
from edgecompress.task.base import Task, tensors_of


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
    module = _import(where, folder)
    known = [n for n, value in vars(module).items() if _is_task(value)]
    task_class = getattr(module, name, None)
    if not _is_task(task_class):
        raise TaskError(
            f"{ref.path}: {where} has no Task called '{name}'; it has: {', '.join(known) or 'none'}"
        )
    try:
        task: Task = task_class(**ref.options)
    except EdgecompressError:
        raise
    except Exception as error:
        raise TaskError(f"{ref.path}: {name}() fails: {_line(error)}") from error
    return task


def original_model(task: Task) -> nn.Module:
    """`task.model()`, checked: a module, that takes the example inputs.

    Raises:
        TaskError: it is not, or does not.

    """
    name = type(task).__name__
    try:
        model = task.model()
        inputs = task.example_inputs()
    except EdgecompressError:
        raise
    except Exception as error:
        raise TaskError(f"{name}.model() or example_inputs() fails: {_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise TaskError(f"{name}.model() gives {type(model).__name__}, not a torch.nn.Module")
    if not isinstance(inputs, tuple) or not inputs or not all(torch.is_tensor(x) for x in inputs):
        raise TaskError(f"{name}.example_inputs(): must be a tuple of tensors, such as (x,)")
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(*inputs)
    except Exception as error:
        raise TaskError(f"{name}: model(*example_inputs()) fails: {_line(error)}") from error
    if not tensors_of(outputs):
        raise TaskError(f"{name}: the model gives {type(outputs).__name__}, not tensors")
    return model


def fingerprint(task: Task, ref: TaskRef, folder: Path, model: nn.Module) -> str:
    """sha256 over what the task is made of: its source and that of the modules beside it, the
    options, the declared files' content, and the original weights.
    """
    source = Path(inspect.getfile(type(task))).resolve()
    beside = {source} | {
        Path(module.__file__).resolve()
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] != "edgecompress"
        and getattr(module, "__file__", None)
        and _is_local(Path(str(module.__file__)), folder)
    }
    return digest(
        {
            "path": ref.path,
            "options": ref.options,
            "sources": sorted(sha256_of(path) for path in beside if path.is_file()),
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
            hasher.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return hasher.hexdigest()


def _import(where: str, folder: Path) -> ModuleType:
    if not where.endswith(".py"):
        try:
            return importlib.import_module(where)
        except Exception as error:
            raise TaskError(f"task.path: {where} cannot be imported: {_line(error)}") from error
    path = (folder / where).resolve()
    if not path.is_file():
        raise TaskError(f"task.path: {path}: no such file")
    # The task may import modules that lie beside it.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"task.path: {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except EdgecompressError:
        raise
    except BaseException as error:
        sys.modules.pop(path.stem, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise TaskError(f"{path}: cannot be imported: {_line(error)}") from error
    return module


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)


def _is_local(path: Path, folder: Path) -> bool:
    inside = path.resolve().is_relative_to(folder.resolve())
    return inside and path.suffix == ".py" and "site-packages" not in path.parts


def _line(error: BaseException) -> str:
    """Type and first line of an exception, and where in the user's file it was raised."""
    text = (str(error).strip() or "no message").splitlines()[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = f" (line {trace.tb_lineno} of {trace.tb_frame.f_code.co_filename})" if trace else ""
    return f"{type(error).__name__}: {text}{line}"
