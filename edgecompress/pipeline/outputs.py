"""What a model returns, which may be nested, and its flat list of tensors in a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from edgecompress.errors import ModelError


def rebuilder(
    model: nn.Module, example_inputs: tuple[Tensor, ...], file: Path
) -> Callable[[list[Tensor]], Any]:
    """Makes of the outputs of `file` what `model`, which it came from, returns.

    Raises:
        ModelError: (what is returned) there are not as many outputs.

    """
    with torch.no_grad():
        leaves, structure = tree_flatten(model(*example_inputs))

    def rebuild(tensors: list[Tensor]) -> Any:
        if len(tensors) != len(leaves):
            raise ModelError(
                f"{file}: has {len(tensors)} outputs, the task's model {len(leaves)};"
                " evaluate it with the task that it was made from"
            )
        return tree_unflatten(tensors, structure)

    return rebuild
