"""Learning from the original: what is added to the task's loss while fine-tuning."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.hooks import hooked
from edgecompress.compress.names import check_names
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import DistillSpec
from edgecompress.task.base import Task, tensors_of

Features = dict[str, Tensor]
"""What is compared of each named layer."""


class Teacher:
    """The original model, frozen, in eval mode.

    Features are compared in a way that does not depend on the number of channels (attention,
    similarity), so a pruned layer can follow the full one, or as they are (values). They need
    modules with names, which a captured graph has no more: in QAT only the outputs are compared.
    """

    def __init__(self, model: nn.Module, spec: DistillSpec, task: Task) -> None:
        self.model = model.eval().requires_grad_(False)
        self.spec = spec
        self.task = task
        check_names(model, spec.feature_layers, "distill.feature_layers")

    def layers_of(self, student: nn.Module) -> tuple[str, ...]:
        """The layers that are compared: none where the student lacks one."""
        layers = self.spec.feature_layers if self.spec.feature_weight else ()
        known = {name for name, _ in student.named_modules()}
        return layers if set(layers) <= known else ()

    def answers(self, inputs: tuple[Tensor, ...], layers: tuple[str, ...]) -> tuple[Any, Features]:
        """The teacher's outputs, and what is compared of `layers`."""
        with features_of(self.model, layers, self.spec.feature_kind) as features, torch.no_grad():
            outputs = self.model(*inputs)
        return outputs, features

    def together(self, own: Tensor, apart: Tensor, ours: Features, theirs: Features) -> Tensor:
        """(1 - w) * task loss + w * distillation loss (+ features), scalar.

        Raises:
            ModelError: features cannot be compared, for they have not the same shape.

        """
        total = (1 - self.spec.weight) * own
        total = total + self.spec.weight * apart
        for name in filter(theirs.__contains__, self.spec.feature_layers):
            apart = _distance(name, ours[name], theirs[name])
            total = total + self.spec.feature_weight * apart
        return total


def _distance(name: str, ours: Tensor, theirs: Tensor) -> Tensor:
    if ours.shape != theirs.shape:
        raise ModelError(
            f"distill.feature_layers: '{name}' gives {list(ours.shape)}, the original"
            f" {list(theirs.shape)} to compare; use feature_kind: similarity, or leave it out"
        )
    return functional.mse_loss(ours, theirs)


def _attention(output: Tensor) -> Tensor:
    """[N, positions]: the mean of squares over the channels, normalised to length 1."""
    return functional.normalize(output.square().mean(1).flatten(1), dim=1)


def _similarity(output: Tensor) -> Tensor:
    """[N, N]: products of the samples, each row normalised to length 1."""
    rows = output.flatten(1)
    return functional.normalize(rows @ rows.T, dim=1)


_KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "attention": _attention,
    "similarity": _similarity,
    "values": lambda output: output,
}


@contextmanager
def features_of(
    model: nn.Module, layers: tuple[str, ...], kind: str = "attention"
) -> Iterator[Features]:
    """While open, every forward pass leaves in the dict what is compared of each named layer."""
    found: Features = {}

    def keep(name: str, _: nn.Module, __: Any, output: Any) -> None:
        tensor = tensors_of(output)[0]
        if kind == "attention" and tensor.dim() < 3:
            raise ModelError(
                f"distill.feature_layers: '{name}' gives {list(tensor.shape)}, which has no"
                " positions for a map of attention; use feature_kind: similarity"
            )
        # In float32 under autocast too, for these are squares and sums of many.
        found[name] = _KINDS[kind](tensor.float())

    with hooked(model.get_submodule(n).register_forward_hook(partial(keep, n)) for n in layers):
        yield found
