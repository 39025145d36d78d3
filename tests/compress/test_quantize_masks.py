"""Attention with masks, however they are written, and with biases, which are no masks."""

from collections.abc import Callable

import pytest
import torch
from quantizing import scheme
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.quantize import Prepared, calibrate, forward, prepare

TOKENS = 8
LEAST = torch.finfo(torch.float32).min


class Attention(nn.Module):
    """One head. `tried` makes of (scores, mask) what the softmax is taken of."""

    def __init__(self, tried: Callable[["Attention", Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.tried = tried
        distance = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)
        self.register_buffer("causal", distance < 0)
        self.register_buffer("falling", -0.5 * distance.abs().float())
        self.register_buffer("places", distance + TOKENS - 1)
        self.table = nn.Parameter(torch.randn(2 * TOKENS - 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(1, 2) * 0.25
        return self.o(self.tried(self, scores, mask).softmax(-1) @ self.v(x))


def tokens(keep: Tensor) -> tuple[Tensor, Tensor]:
    x = torch.randn(len(keep), TOKENS, 16, generator=torch.Generator().manual_seed(1))
    return x, keep


def padding() -> Tensor:
    """[16, 1, T] of 1, and 0 where there is no token."""
    keep = torch.rand(16, 1, TOKENS, generator=torch.Generator().manual_seed(2)) > 0.3
    keep[..., 0] = True
    return keep.float()


def calibrated(model: nn.Module, inputs: tuple[Tensor, Tensor], wanted: str) -> Prepared:
    model.eval()
    prepared = prepare(model, (inputs[0][:1], inputs[1][:1]), scheme(wanted), "minmax")
    calibrate(prepared, [(inputs, None)])
    return prepared


def decibels(prepared: Prepared, model: nn.Module, inputs: tuple[Tensor, Tensor]) -> float:
    with torch.no_grad():
        right, found = model(*inputs), forward(prepared, inputs)
    assert bool(found.isfinite().all())
    return float(10 * torch.log10(right.square().sum() / (right - found).square().sum()))


MASKS: dict[str, Callable[[Attention, Tensor, Tensor], Tensor]] = {
    "-10000": lambda m, s, keep: s + (1 - keep) * -10000.0,
    "-1000": lambda m, s, keep: s + (1 - keep) * -1000.0,
    "subtracted 100": lambda m, s, keep: s - (1 - keep) * 100.0,
    "-50, and scaled": lambda m, s, keep: (4 * s + (1 - keep) * -50.0) * 0.25,
    "the least number": lambda m, s, keep: s + (1 - keep) * LEAST,
    "filled with -1e4": lambda m, s, keep: s.masked_fill(keep == 0, -1e4),
    "filled with -inf": lambda m, s, keep: s.masked_fill(keep == 0, float("-inf")),
    "where": lambda m, s, keep: torch.where(keep > 0, s, torch.full_like(s, -60.0)),
    "of zeros": lambda m, s, keep: s + torch.zeros_like(s).masked_fill(keep == 0, -1e4),
    "clamped": lambda m, s, keep: (s + (1 - keep) * -1e4).clamp(min=-1e4),
    "a logarithm": lambda m, s, keep: s + torch.log(keep + 1e-9),
    "multiplied": lambda m, s, keep: s * keep - 1e10 * (1 - keep),
    "causal": lambda m, s, keep: s.masked_fill(m.causal, -1e4) * keep.amax(-1, keepdim=True),
    "causal by triu": lambda m, s, keep: (
        s + torch.full((TOKENS, TOKENS), -100.0).triu(1) + 0 * keep
    ),
    "causal and falling": lambda m, s, keep: (
        s + m.falling + torch.zeros(TOKENS, TOKENS).masked_fill(m.causal, -1e4) + (keep - 1) * 90
    ),
    "baddbmm": lambda m, s, keep: torch.baddbmm(
        ((1 - keep) * -1e4).expand(-1, TOKENS, TOKENS), s, torch.eye(TOKENS).expand(len(s), -1, -1)
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_scores_keep_their_steps_beside_a_mask(kind: str) -> None:
    wanted = ("uint8", "int8 symmetric", "litert")[len(kind) % 3]
    inputs, model = tokens(padding()), Attention(MASKS[kind])
    assert decibels(calibrated(model, inputs, wanted), model, inputs) > 29


@pytest.mark.parametrize("value", [-10000.0, -50.0, LEAST])
def test_a_mask_may_be_an_input(value: float) -> None:
    inputs = tokens((1 - padding()) * value)
    model = Attention(lambda m, s, mask: s + mask)
    assert decibels(calibrated(model, inputs, "uint8"), model, inputs) > 29


def test_boolean_masks_and_torchs_own_attention() -> None:
    class Own(Attention):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            q, k, v = self.q(x), self.k(x), self.v(x)
            return self.o(functional.scaled_dot_product_attention(q, k, v, mask > 0))

    inputs, model = tokens(padding()), Own(MASKS["where"])
    assert decibels(calibrated(model, inputs, "uint8"), model, inputs) > 29


def test_a_mask_may_multiply_what_layers_read() -> None:
    class Masked(Attention):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return super().forward(x * mask.transpose(1, 2), mask)

    inputs, model = tokens(padding()), Masked(MASKS["-10000"])
    assert decibels(calibrated(model, inputs, "uint8"), model, inputs) > 27


BIASES: dict[str, Callable[[Attention, Tensor, Tensor], Tensor]] = {
    "none": lambda m, s, keep: s,
    "that falls with the distance": lambda m, s, keep: s + m.falling,
    "of relative positions": lambda m, s, keep: s + m.table[m.places.reshape(-1)].reshape(8, 8),
    "of other scores": lambda m, s, keep: s + s.transpose(1, 2),
}


@pytest.mark.parametrize("kind", BIASES)
def test_a_bias_is_no_mask_and_stays_in_eight_bits(kind: str) -> None:
    inputs, model = tokens(padding()), Attention(BIASES[kind])
    # Where layers may write floats, the softmax has no eight bits.
    prepared = calibrated(model, inputs, "uint8, integers")
    bounded = [f for f in observers_of(prepared.graph) if f.activation_post_process.bounded]
    assert len(bounded) == 1  # the softmax
    assert decibels(prepared, model, inputs) > 29


def test_a_network_that_adds_its_input_masks_nothing() -> None:
    class Refined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return (self.conv(x) + x).sigmoid()

    x = torch.randn(4, 3, 8, 8)
    prepared = prepare(Refined().eval(), (x[:1],), scheme("uint8"), "minmax")
    assert any(f.activation_post_process.bounded for f in observers_of(prepared.graph))
