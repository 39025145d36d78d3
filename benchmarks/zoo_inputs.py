"""Inputs that look like something, and untrained networks that behave like trained ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import ParametrizationList

BATCH_NORM = nn.modules.batchnorm._BatchNorm
Kind = Literal["image", "signal", "features", "tokens", "mask"]


@dataclass(frozen=True)
class Input:
    """One positional argument of a model."""

    shape: tuple[int, ...]
    """Without the batch."""
    kind: Kind = "image"
    vocabulary: int = 100
    """How many tokens there are."""


def made_up(wanted: Input, count: int, generator: torch.Generator) -> Tensor:
    """`count` samples, [count, *wanted.shape]; float32 but tokens and masks, which are int64."""
    return _MAKERS[wanted.kind](wanted, count, generator)


def _image(wanted: Input, count: int, generator: torch.Generator) -> Tensor:
    """Large and small blots of colour, of their own brightness and contrast, and a little noise:
    of noise alone each pooling leaves the same mean, and all images would look alike.
    """
    channels, *sides = wanted.shape
    blots = torch.zeros(count, channels, *sides)
    for across in (3, 8, 20):
        coarse = torch.randn(count, channels, across, across, generator=generator) * 0.6
        blots += functional.interpolate(coarse, size=tuple(sides), mode="bilinear")
    contrast = 0.5 + torch.rand(count, 1, 1, 1, generator=generator)
    brightness = torch.randn(count, channels, 1, 1, generator=generator) * 0.5
    noise = torch.randn(blots.shape, generator=generator) * 0.1
    return blots * contrast + brightness + noise


def _signal(wanted: Input, count: int, generator: torch.Generator) -> Tensor:
    """Three tones of their own pitch and loudness in each channel, and a little noise."""
    *channels, length = wanted.shape
    size = (count, *channels, 3, 1)
    pitch = torch.rand(size, generator=generator) * 0.2 + 0.002  # in periods a sample
    phase = torch.rand(size, generator=generator)
    loudness = torch.rand(size, generator=generator) * 0.5
    tones = loudness * torch.sin(2 * torch.pi * (pitch * torch.arange(length) + phase))
    noise = torch.randn((count, *wanted.shape), generator=generator) * 0.02
    return tones.sum(dim=-2) + noise


def _features(wanted: Input, count: int, generator: torch.Generator) -> Tensor:
    return torch.randn((count, *wanted.shape), generator=generator)


def _tokens(wanted: Input, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, wanted.vocabulary, (count, *wanted.shape), generator=generator)


def _mask(wanted: Input, count: int, generator: torch.Generator) -> Tensor:
    """1 for a text of random length, of half the width at least, and 0 for what pads it."""
    (length,) = wanted.shape
    lengths = torch.randint(length // 2, length + 1, (count, 1), generator=generator)
    return (torch.arange(length) < lengths).long()


_MAKERS: dict[Kind, Callable[[Input, int, torch.Generator], Tensor]] = {
    "image": _image,
    "signal": _signal,
    "features": _features,
    "tokens": _tokens,
    "mask": _mask,
}


def enliven(model: nn.Module) -> None:
    """Give a fresh network what training would: norms that scale and shift, residual branches that
    count (many begin at a layer scale of 0 or 1e-6), and weights that keep the size of what goes
    through them (transformers begin far smaller, and their attention would look at all alike).

    Batch norms shift so that most of what follows them is above zero. Where a ReLU cuts half, each
    layer of a random network makes any difference larger, by 1.2 times in depth (Yang et al., "A
    mean field theory of batch normalization", 2019): after fifty of them a rounding error is all
    that one sees, in float32 too.
    """
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if "Norm" in type(module).__name__ and parameter.ndim == 1:
                    _like_a_norm(name, parameter, isinstance(module, BATCH_NORM))
                elif isinstance(module, (nn.Embedding, ParametrizationList)):
                    continue
                elif parameter.ndim >= 2:
                    _at_least_unit_gain(parameter)
                elif parameter.numel() > 1 and float(parameter.abs().max()) < 1e-3:
                    _small(name, parameter)


def _like_a_norm(name: str, parameter: Tensor, of_batches: bool) -> None:
    if name == "bias":
        parameter.normal_(1.0 if of_batches else 0.0, 0.2)
    else:
        parameter.uniform_(0.5, 1.5)


def _small(name: str, parameter: Tensor) -> None:
    """A bias, or a layer scale."""
    if "bias" in name:
        parameter.normal_(0, 0.02)
    else:
        parameter.uniform_(0.1, 0.5)


def _at_least_unit_gain(parameter: Tensor) -> None:
    """Weights [outputs, inputs, ...] of at least 1 / sqrt(fan in)."""
    wanted = parameter[0].numel() ** -0.5
    spread = float(parameter.std())
    if spread < 1e-6:
        parameter.normal_(0, wanted)
    elif spread < wanted:
        parameter.mul_(wanted / spread)


def settle(model: nn.Module, batches: Sequence[tuple[Tensor, ...]]) -> None:
    """Set the statistics of batch norms to what these batches have; all else stays as in use.

    Fresh ones are an identity, and activations of a deep network would grow without bound.
    """
    model.eval()
    norms = [m for m in model.modules() if isinstance(m, BATCH_NORM)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = None  # the plain mean over all batches
        norm.reset_running_stats()
    with torch.no_grad():
        for inputs in batches:
            model(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
