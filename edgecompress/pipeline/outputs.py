"""What a model returns, which may be nested, and its flat list of tensors in a file."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from edgecompress.artifact import Artifact
from edgecompress.compress.decoding import decoded_module
from edgecompress.errors import ModelError
from edgecompress.task.base import Task, tensors_of
from edgecompress.task.decoded import decoder_of, decoding
from edgecompress.task.named import ByName


def rebuilder(
    model: nn.Module, example_inputs: tuple[Tensor, ...], file: Path
) -> Callable[[list[Tensor]], Any]:
    """Makes of the outputs of `file` what `model`, which it came from, returns.

    Raises:
        ModelError: (what is returned) there are not as many outputs.

    What is no tensor, such as None, is in no file; it is as it was on the example inputs.

    """
    with torch.no_grad():
        leaves, structure = tree_flatten(model(*example_inputs))
    wanted = sum(torch.is_tensor(leaf) for leaf in leaves)

    def rebuild(tensors: list[Tensor]) -> Any:
        if len(tensors) != wanted:
            raise ModelError(
                f"{file}: has {len(tensors)} outputs, the task's model {wanted};"
                " evaluate it with the task that it was made from"
            )
        given = iter(tensors)
        filled = [next(given) if torch.is_tensor(leaf) else leaf for leaf in leaves]
        return tree_unflatten(filled, structure)

    return rebuild


def rebuilder_for(
    task: Task, model: nn.Module, example_inputs: tuple[Tensor, ...], artifact: Artifact
) -> Callable[[list[Tensor]], Any]:
    """Makes of the outputs of a file what `task.update` takes: decoded, in the file or here, where
    the task has a decoder. Errors as of `rebuilder`.

    Args:
        task: whose file it is.
        model: any of the task's, whose outputs are not decoded.
        example_inputs: of it.
        artifact: the file.

    """
    decoder = decoder_of(task)
    if artifact.decoded and decoder is not None:
        model = decoded_module(model, decoder)
    rebuild = rebuilder(model, example_inputs, artifact.path)
    if artifact.decoded or decoder is None:
        return rebuild
    decoded = decoding(task)
    return lambda tensors: decoded(rebuild(tensors))


def input_names(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Those of forward()'s parameters, where they have names of their own."""
    if isinstance(model, ByName):
        return model.names
    parameters = signature(model.forward).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    many = len(example_inputs)
    return tuple(named[:many]) if len(named) >= many else tuple(f"input_{i}" for i in range(many))


def output_names(outputs: object, taken: tuple[str, ...]) -> tuple[str, ...]:
    """One for each tensor: the keys of a dict of tensors, with `_out` behind what is `taken`."""
    count = len(tensors_of(outputs))
    names = ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
    if isinstance(outputs, dict):
        keys = [key for key, value in outputs.items() if torch.is_tensor(value)]
        if len(keys) == count:
            names = [str(key) or name for key, name in zip(keys, names, strict=True)]
    unique: list[str] = []
    for name in names:
        while name in taken or name in unique:
            name += "_out"
        unique.append(name)
    return tuple(unique)
