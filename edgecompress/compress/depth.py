"""Which residual blocks go whole: those that are missed least."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgecompress.compress.allocate import Score
from edgecompress.compress.importance import finite
from edgecompress.compress.macs import evaluating
from edgecompress.compress.shorter import shorter
from edgecompress.errors import ModelError

if TYPE_CHECKING:
    from edgecompress.compress.blocks import Block, Blocks


def choose(
    model: nn.Module,
    blocks: "Blocks",
    count: int,
    score: Callable[[int], Score],
    progress: Callable[[str, int, int], None],
) -> "list[Block]":
    """The blocks to remove, one after the other: each is the one without which the score is
    highest, measured with those before it gone, because a block that could be spared beside its
    neighbour often cannot without it.

    Args:
        model: it is as it was afterwards.
        blocks: what may go.
        count: how many go.
        score: made for as many models as it is told.
        progress: called before each measurement.

    Raises:
        ModelError: there are not as many, or the score is not finite.

    """
    left = list(blocks.found)
    chosen: list[Block] = []
    if count > len(left):
        reasons = "; ".join(f"{name}: {why}" for name, why in list(blocks.refused.items())[:4])
        names = ", ".join(block.name for block in left)
        raise ModelError(
            f"prune.remove_blocks {count}: {len(left)} residual blocks of the model can go"
            f" ({names or 'none'}{'; not ' if reasons else ''}{reasons}); ask for no more"
        )
    total = sum(len(left) - i for i in range(count))
    of, done = score(total), 0
    with evaluating(model), torch.no_grad():
        for _ in range(count):
            current = shorter(model, [block.removal for block in chosen])
            scores = []
            for block in left:
                progress("blocks", done, total)
                done += 1
                scores.append(finite(of(shorter(current, [block.removal]))))
            chosen.append(left.pop(max(range(len(left)), key=scores.__getitem__)))
    return chosen
