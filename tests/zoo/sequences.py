"""Models for quantising and exporting: linear layers and attention over [N, L, C]."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo.parts import Call, Sample, image, models_in


def linear_stack() -> Sample:
    model = nn.Sequential(
        nn.Linear(12, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(32, 24, bias=False),
        nn.BatchNorm1d(24, eps=1e-3),
        nn.ReLU(),
        nn.Linear(24, 5),
    )
    return model, (torch.randn(1, 12),)


def linear_3d() -> Sample:
    """Linear layers over a sequence: with a bias and without."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.ReLU())
    tail = Call(lambda m, x: m.fc(m.body(x).mean(1)), body=model, fc=nn.Linear(16, 4))
    return tail, (torch.randn(1, 6, 8),)


def mlp_mixer() -> Sample:
    """Linear layers along the last axis of a transposed tensor, with residuals."""
    model = Call(
        lambda m, x: m.fc((x + m.tokens(x.transpose(1, 2)).transpose(1, 2)).flatten(1)),
        tokens=nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6)),
        fc=nn.Linear(48, 4),
    )
    return model, (torch.randn(1, 6, 8),)


def multi_head_attention() -> Sample:
    model = Call(
        lambda m, x: m.fc(m.attend(x, x, x, need_weights=False)[0].mean(1)),
        attend=nn.MultiheadAttention(16, 4, batch_first=True),
        fc=nn.Linear(16, 4),
    )
    return model, (torch.randn(1, 6, 16),)


def single_head_attention() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        query, key, value = m.q(x), m.k(x), m.v(x)  # type: ignore[operator]
        seen = functional.scaled_dot_product_attention(query, key, value)
        return m.fc(seen.mean(1))  # type: ignore[operator, no-any-return]

    layers = {name: nn.Linear(16, 16) for name in ("q", "k", "v")}
    return Call(forward, **layers, fc=nn.Linear(16, 4)), (torch.randn(1, 6, 16),)


def causal_attention() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        query, key, value = m.qkv(x).chunk(3, -1)  # type: ignore[operator]
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return m.fc(seen)  # type: ignore[operator, no-any-return]

    return Call(forward, qkv=nn.Linear(16, 48), fc=nn.Linear(16, 4)), (torch.randn(1, 6, 16),)


def masked_attention() -> Sample:
    """A mask of -inf, added by hand, as a tensor, and as booleans."""

    def forward(m: Call, x: Tensor) -> Tensor:
        query, key, value = m.qkv(x).chunk(3, -1)  # type: ignore[operator]
        seen = torch.ones(6, 6, dtype=torch.bool).tril()
        scores = (query @ key.transpose(1, 2) / 4).masked_fill(~seen, -torch.inf)
        by_hand = scores.softmax(-1) @ value
        query, key, value = (part.unsqueeze(1) for part in (query, key, value))
        mask = torch.full((6, 6), -1e9).triu(1)
        added = functional.scaled_dot_product_attention(query, key, value, mask)
        chosen = functional.scaled_dot_product_attention(query, key, value, seen, scale=0.3)
        return m.fc(by_hand + (added + chosen).squeeze(1))  # type: ignore[operator, no-any-return]

    return Call(forward, qkv=nn.Linear(16, 48), fc=nn.Linear(16, 4)), (torch.randn(1, 6, 16),)


def class_token() -> Sample:
    """A learnt token before the patches, as in ViT."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.token = nn.Parameter(torch.randn(1, 1, 16))
            self.position = nn.Parameter(torch.randn(1, 5, 16))
            self.fc = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
            return self.fc(x[:, 0])  # type: ignore[no-any-return]

    return Tokens(), image()


SEQUENCES: dict[str, Callable[[], Sample]] = models_in(globals())
