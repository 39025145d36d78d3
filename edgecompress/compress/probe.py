"""What the checks of pruning run a model on, and how they compare what comes out."""

import torch
from torch import Tensor, nn

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.macs import evaluating
from edgecompress.task.base import tensors_of

Inputs = tuple[Tensor, ...]

SMALL = 1024
"""Numbers in one sample."""


def is_float(x: Tensor) -> bool:
    return x.is_floating_point()


def run(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """All output tensors, in eval mode, without gradients."""
    with evaluating(model), torch.no_grad():
        return tensors_of(model(*inputs))


def shapes(outputs: list[Tensor]) -> list[torch.Size]:
    return [output.shape for output in outputs]


def run_all(model: nn.Module, probes: list[Inputs], dtype: torch.dtype) -> list[list[Tensor]]:
    """`run` on each, floats as `dtype`."""
    return [run(model, cast_floats(inputs, dtype)) for inputs in probes]


def vary(inputs: Inputs, seed: int) -> Inputs:
    """Other inputs of the same kind: floats with noise of their own size, integers shuffled (so
    that token ids stay valid).
    """
    generator = torch.Generator().manual_seed(seed)

    def varied(x: Tensor) -> Tensor:
        if is_float(x):
            noise = torch.randn(x.shape, generator=generator).to(x)
            return x + noise * (x.square().mean().sqrt() + 0.1)
        order = torch.randperm(x.numel(), generator=generator).to(x.device)
        return x.flatten()[order].view_as(x)

    return tuple(varied(x) for x in inputs)


def probes(model: nn.Module, example: Inputs) -> list[Inputs]:
    """The example, and varied ones, as one batch where the model takes that. There are more of
    them the smaller they are: on one small input half of all ReLUs are dead.
    """
    size = sum(x.numel() for x in example)
    varied = [vary(example, seed) for seed in range(16 if size < SMALL else 1)]
    try:
        batch = tuple(torch.cat(parts) for parts in zip(example, *varied, strict=True))
        run(model, batch)
    except Exception:
        # Any kind: torch fails without a batch dimension, the user's forward() in its own ways.
        return [example, *varied]
    return [example, batch]


def cast_floats(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return tuple(x.to(dtype) if is_float(x) else x for x in inputs)


def stir(model: nn.Module, examples: list[Inputs]) -> tuple[nn.Module, torch.dtype]:
    """A copy with noise of a tenth of its size on every parameter, and the type of its floats:
    float64 where it runs so.
    """
    twin = duplicate(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in twin.parameters():
            if is_float(parameter):
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                size = parameter.square().mean().sqrt()
                parameter.add_(noise * (0.1 * size if size > 0 else 0.1))
    try:
        double = duplicate(twin).double()
        run(double, cast_floats(examples[0], torch.float64))
    except Exception:
        # Any kind: a user's forward() that has float32 written down may refuse in its own way.
        return twin, torch.float32
    return double, torch.float64


def distance(found: list[list[Tensor]], wanted: list[list[Tensor]]) -> float:
    """Largest difference over all outputs, each in units of its own largest value; nan where
    an output is not finite.
    """
    worst = 0.0
    for outputs, targets in zip(found, wanted, strict=True):
        for output, target in zip(outputs, targets, strict=True):
            if target.numel():
                gap = (output.double() - target.double()).abs().max()
                size = target.double().abs().max().clamp_min(torch.finfo(torch.float32).tiny)
                ratio = float(gap / size)
                worst = ratio if ratio != ratio else max(worst, ratio)
                if worst != worst:
                    return worst
    return worst


def followed(model: nn.Module, inputs: Inputs) -> set[tuple[str, int]]:
    """Which inputs, by number, move the outputs: by a change of the input, and by gradient."""
    reference, varied = run(model, inputs), vary(inputs, seed=0)
    found = set()
    for i in range(len(inputs)):
        changed = run(model, (*inputs[:i], varied[i], *inputs[i + 1 :]))
        if distance([reference], [changed]) > 0:
            found.add(("change", i))
    leaves = {i: x.detach().clone().requires_grad_() for i, x in enumerate(inputs) if is_float(x)}
    with evaluating(model), torch.enable_grad():
        outputs = tensors_of(model(*(leaves.get(i, x) for i, x in enumerate(inputs))))
        # Not the plain sum: that of a softmax is constant.
        terms = [output.square().sum() for output in outputs if output.requires_grad]
        if terms and leaves:
            slopes = torch.autograd.grad(terms, list(leaves.values()), allow_unused=True)
            found |= {
                ("gradient", i)
                for i, slope in zip(leaves, slopes, strict=True)
                if slope is not None and slope.any()
            }
    return found
