"""Learning from the original: what is added to the task's loss while fine-tuning."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.names import check_names
from edgecompress.spec.deploy import DistillSpec
from edgecompress.task.base import Task, tensors_of


class Teacher:
    """The original model, frozen, in eval mode.

    Features are compared as spatial attention maps (Zagoruyko & Komodakis, 2017), which do not
    depend on the number of channels, so a pruned layer can follow the full one. They need modules
    with names, which a captured graph has no more: during QAT only the outputs are compared.
    """

    def __init__(self, model: nn.Module, spec: DistillSpec, task: Task) -> None:
        self.model = model.eval().requires_grad_(False)
        self.spec = spec
        self.task = task
        check_names(model, spec.feature_layers, "distill.feature_layers")

    def loss(self, student: nn.Module, inputs: tuple[Tensor, ...], target: Any) -> Tensor:
        """(1 - w) * task loss + w * distillation loss (+ features), scalar."""
        layers = self.spec.feature_layers if self.spec.feature_weight else ()
        if layers and not set(layers) <= {name for name, _ in student.named_modules()}:
            layers = ()
        with attention_maps(self.model, layers) as theirs, torch.no_grad():
            expected = self.model(*inputs)
        with attention_maps(student, layers) as ours:
            outputs = student(*inputs)
        total: Tensor = (1 - self.spec.weight) * self.task.loss(outputs, target)
        total = total + self.spec.weight * self.task.distillation_loss(
            outputs, expected, self.spec.temperature
        )
        for name in layers:
            total = total + self.spec.feature_weight * functional.mse_loss(ours[name], theirs[name])
        return total


@contextmanager
def attention_maps(model: nn.Module, layers: tuple[str, ...]) -> Iterator[dict[str, Tensor]]:
    """While open, every forward pass leaves [N, positions] of each named layer in the dict:
    the mean of squares over the channels, normalised to length 1.
    """
    maps: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name in layers:

            def keep(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
                tensor = tensors_of(output)[0]
                maps[name] = functional.normalize(tensor.square().mean(1).flatten(1), dim=1)

            hook = model.get_submodule(name).register_forward_hook(keep)
            stack.callback(hook.remove)
        yield maps
