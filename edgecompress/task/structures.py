"""What a model may return: tensors in tuples, lists, dicts and dataclasses, nested, with
whatever else beside them. torch walks through all but dataclasses by itself.
"""

from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

_OTHERS = (Tensor, str, int, float, bool, bytes, type(None))


def learn_structures(outputs: Any) -> None:
    """Let torch walk through the dataclasses in `outputs` from now on.

    Raises:
        TypeError: an object in it is of a kind that nothing can walk through.

    """
    unknown = [leaf for leaf in tree_leaves(outputs) if not isinstance(leaf, _OTHERS)]
    for kind in {type(leaf) for leaf in unknown}:
        if not is_dataclass(kind):
            raise TypeError(
                f"forward() returns a {kind.__name__}, whose tensors cannot be found; return"
                " tensors, or a tuple, list, dict or dataclass of them"
            )
        torch.export.register_dataclass(kind)
    if unknown:
        learn_structures(outputs)
