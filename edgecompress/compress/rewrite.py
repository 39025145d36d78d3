"""Modules that are written anew, equal to the user's, so that their channels can be cut.

A number of channels inside of a function, or heads inside of nn.MultiheadAttention, cannot be
changed from outside. What stands for such a module has the number as an attribute, or takes it from
the shapes of its weights.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.duplicate import duplicate
from edgecompress.spec.base import Spec

_OPTIONS = ("key_padding_mask", "need_weights", "attn_mask", "average_attn_weights", "is_causal")


class PadRewrite(Spec):
    kind: Literal["pad"] = "pad"
    steps: tuple[int, ...]
    """Every how many positions of each dimension behind the channels are taken."""
    before: int
    after: int


class AttentionRewrite(Spec):
    kind: Literal["attention"] = "attention"


Rewrite = PadRewrite | AttentionRewrite
"""How a module is written anew."""


class PaddedShortcut(nn.Module):
    """Every few positions, and channels of zeros on both sides: option A of He et al. (2015)."""

    def __init__(self, rewrite: PadRewrite) -> None:
        super().__init__()
        self.steps = rewrite.steps
        self.before = rewrite.before
        self.after = rewrite.after

    def forward(self, x: Tensor) -> Tensor:  # [N, C, ..] -> [N, before + C + after, ..]
        every = (slice(None, None, step) for step in (1, 1, *self.steps))
        x = x[tuple(every)]
        return functional.pad(x, (*(0, 0) * len(self.steps), self.before, self.after))


class Attention(nn.Module):
    """nn.MultiheadAttention with a layer for each of its projections, whose heads can be cut."""

    def __init__(self, original: nn.MultiheadAttention) -> None:
        super().__init__()
        self.head_size: int = original.head_dim
        self.dropout = original.dropout
        self.batch_first = original.batch_first
        # What torch's own transformer layers look at before they take their fused way.
        self.in_proj_bias = None
        self._qkv_same_embed_dim = False
        stacked, bias = original.in_proj_weight, original.in_proj_bias
        separate = (original.q_proj_weight, original.k_proj_weight, original.v_proj_weight)
        weights = separate if stacked is None else stacked.chunk(3)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_linear, weights, biases)
        self.out_proj = _linear(original.out_proj.weight, original.out_proj.bias)

    @property
    def width(self) -> int:
        """Features of all heads together."""
        return int(self.q_proj.out_features)

    @property
    def num_heads(self) -> int:
        return self.width // self.head_size

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *more: Any, **named: Any
    ) -> tuple[Tensor, Tensor | None]:
        """As that of nn.MultiheadAttention, for batches."""
        options = {**dict(zip(_OPTIONS, more, strict=False)), **named}
        inputs = [x if self.batch_first else x.transpose(0, 1) for x in (query, key, value)]
        projections = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (self._heads(p(x)) for p, x in zip(projections, inputs, strict=True))
        scores = q @ k.transpose(-2, -1) * self.head_size**-0.5  # [N, heads, T, S]
        mask, padding = options.get("attn_mask"), options.get("key_padding_mask")
        if mask is not None and mask.dim() == 3:
            mask = mask.view(len(scores), -1, *mask.shape[1:])
        for hidden in (mask, None if padding is None else padding[:, None, None]):
            if hidden is not None:
                is_bool = hidden.dtype == torch.bool
                scores = scores.masked_fill(hidden, -torch.inf) if is_bool else scores + hidden
        weights = functional.dropout(scores.softmax(-1), self.dropout, self.training)
        result = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        result = result if self.batch_first else result.transpose(0, 1)
        if not options.get("need_weights", True):
            return result, None
        return result, weights.mean(1) if options.get("average_attn_weights", True) else weights

    def _heads(self, x: Tensor) -> Tensor:  # [N, T, heads * size] -> [N, heads, T, size]
        return x.view(*x.shape[:-1], -1, self.head_size).transpose(1, 2)


def rewritten(model: nn.Module, rewrites: Mapping[str, Rewrite]) -> nn.Module:
    """A copy of `model` with these modules written anew."""
    twin = duplicate(model)
    for name, rewrite in rewrites.items():
        old = twin.get_submodule(name)
        if isinstance(rewrite, PadRewrite):
            new: nn.Module = PaddedShortcut(rewrite)
        else:
            assert isinstance(old, nn.MultiheadAttention), "it was one when it was found"
            new = Attention(old)
        twin.set_submodule(name, new.train(old.training))
    return twin


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    made.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return made
