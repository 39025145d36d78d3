"""Words for what came in place of what was wanted."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

_SHOWN = 4


def came(value: object) -> str:
    """A few words: 'float32 [64, 3, 32, 32]', 'a dict of image, label'."""
    if isinstance(value, Tensor):
        return f"{name_of(value.dtype)} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a numpy array, {value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {_listed([str(key) for key in value])}"
    if isinstance(value, (tuple, list)) and value:
        parts = _listed([_briefly(x) for x in value])
        return f"a {type(value).__name__} of {len(value)}: {parts}"
    return type(value).__name__


def name_of(dtype: torch.dtype) -> str:
    """'float32' for torch.float32."""
    return str(dtype).removeprefix("torch.")


def _briefly(value: object) -> str:
    return type(value).__name__ if isinstance(value, (tuple, list)) else came(value)


def _listed(words: list[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (", ..." if len(words) > _SHOWN else "")
