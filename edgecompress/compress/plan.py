"""PrunePlan: everything that pruning decided, as data, so that the model can be rebuilt."""

import json
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from edgecompress.compress import two_four
from edgecompress.compress.groups import Cuts, Side, Slot
from edgecompress.compress.macs import evaluating
from edgecompress.compress.rewrite import Rewrite, rewritten
from edgecompress.compress.shorter import Stand, shorter
from edgecompress.compress.sparsify import apply_masks, masks_for
from edgecompress.compress.surgery import cut
from edgecompress.errors import ModelError, SpecError
from edgecompress.spec.base import Spec, parse


class Cut(Spec):
    """Channels removed from one dimension of one layer."""

    layer: str
    side: Side
    dim: int
    removed: tuple[int, ...]
    """Sorted, numbered as before this step."""


class PrunePlan(Spec):
    method: Literal["structured", "unstructured", "2:4"]
    blocks: tuple[dict[str, Stand], ...] = ()
    """Structured: what stands for the residual blocks that went whole, before the steps."""
    rewrites: dict[str, Annotated[Rewrite, Field(discriminator="kind")]] = {}
    """Structured: modules that were then written anew, so that their channels could be cut."""
    steps: tuple[tuple[Cut, ...], ...] = ()
    """Structured: what was cut, step by step, the consumers' inputs included."""
    thresholds: dict[str, float] = {}
    """Unstructured: tau by layer; weights of the original with |w| <= tau are zero."""
    two_four: tuple[str, ...] = ()
    """Layers whose weights are 2:4, after the steps."""

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> "PrunePlan":
        """Raises SpecError when `text` is not a plan."""
        try:
            data: object = json.loads(text)
        except ValueError as error:
            raise SpecError(f"prune plan: not JSON: {error}; prune again") from None
        return parse(cls, data, "prune plan")


def step_of(cuts: Cuts) -> tuple[Cut, ...]:
    return tuple(
        Cut(layer=slot.layer, side=slot.side, dim=slot.dim, removed=channels)
        for slot, channels in sorted(cuts.items())
    )


def replay(model: nn.Module, plan: PrunePlan, example_inputs: tuple[Tensor, ...]) -> nn.Module:
    """A pruned copy of a fresh original: the same names and shapes as the model of the plan, into
    which its state_dict can then be loaded.

    Raises:
        ModelError: `model` is not the one the plan was made for.

    """
    try:
        result = rewritten(shorter(model, plan.blocks), plan.rewrites)
        for step in plan.steps:
            result = cut(result, {Slot(c.layer, c.side, c.dim): c.removed for c in step})
        apply_masks(result, masks_for(result, plan.thresholds))
        apply_masks(result, two_four.masks_for(result, plan.two_four))
        with evaluating(result), torch.no_grad():
            result(*example_inputs)
    except Exception as error:
        # A wrong model fails in its own ways: a missing layer, an index out of range, a shape.
        raise ModelError(
            f"model: is not the one that was pruned ({type(error).__name__}: {error}); prune again"
        ) from error
    return result
