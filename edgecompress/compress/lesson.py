"""The loss of one batch: where the model lies, with the teacher and without."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from edgecompress.compress.distill import Features, Teacher, features_of
from edgecompress.compress.hardware import Hardware
from edgecompress.errors import TaskError
from edgecompress.task.base import Batch, Task, inputs_of
from edgecompress.task.guard import user_code
from edgecompress.task.places import CPU, to_device


@dataclass
class Lesson:
    """What a loss follows from, beside the model and the batch."""

    name: str
    """The training's, as errors tell it."""
    task: Task
    hardware: Hardware
    teacher: Teacher | None = None
    losses_on_cpu: bool = False
    """The task's losses use tensors of its own, which lie there; found out by trying."""

    def loss(self, model: nn.Module, batch: Batch, expected: Any = None) -> Tensor:
        """Scalar, differentiable.

        Args:
            model: on the hardware's device.
            batch: on whatever device the task gives it.
            expected: the teacher's outputs, where they are known already.

        Raises:
            TaskError: the model cannot take the batch, or the loss its outputs.
            ModelError: features cannot be compared.

        """
        words = f"{self.name}: the model on a batch of {type(self.task).__name__}.train_data()"
        # A data generator that yields inside its no_grad() leaves gradients off for everybody.
        with user_code(words), torch.enable_grad():
            inputs = self._there(inputs_of(batch))
            if self.teacher is None:
                return self._judged("loss", self._outputs(model, inputs), batch[1])
            return self._taught(self.teacher, model, inputs, batch[1], expected)

    def expected(self, inputs: tuple[Tensor, ...]) -> Any:
        """The teacher's outputs, in float32."""
        assert self.teacher is not None, "asked where there is one"
        with self.hardware.autocast():
            outputs, _ = self.teacher.answers(self._there(inputs), ())
        return self._in_float32(outputs)

    def _taught(
        self, teacher: Teacher, model: nn.Module, inputs: Any, target: Any, expected: Any
    ) -> Tensor:
        layers, theirs = teacher.layers_of(model), Features()
        if expected is None:
            with self.hardware.autocast():
                expected, theirs = teacher.answers(inputs, layers)
            expected = self._in_float32(expected)
        with features_of(model, layers, teacher.spec.feature_kind) as ours:
            outputs = self._outputs(model, inputs)
        own = self._judged("loss", outputs, target)
        apart = self._judged("distillation_loss", outputs, expected, teacher.spec.temperature)
        return teacher.together(own, apart, ours, theirs)

    def _outputs(self, model: nn.Module, inputs: Any) -> Any:
        with self.hardware.autocast():
            outputs = model(*inputs)
        return self._in_float32(outputs)

    def _judged(self, name: str, *values: Any) -> Tensor:
        """What the task's method says of these; on the CPU if it cannot do so on the device."""
        method: Callable[..., Tensor] = getattr(self.task, name)
        if self.hardware.device != CPU and not self.losses_on_cpu:
            # Such as class weights that the task made; whatever else is wrong is wrong there too.
            with suppress(TaskError):
                return method(*self._there(values))
            self.losses_on_cpu = True
        return method(*to_device(values, CPU)) if self.losses_on_cpu else method(*values)

    def _there(self, values: Any) -> Any:
        # On the CPU a batch stays the objects that the task gave.
        return values if self.hardware.device == CPU else to_device(values, self.hardware.device)

    def _in_float32(self, outputs: Any) -> Any:
        if self.hardware.precision is torch.float32:
            return outputs
        return tree_map(_float32, outputs)


def _float32(leaf: Any) -> Any:
    is_low = isinstance(leaf, Tensor) and leaf.dtype in (torch.bfloat16, torch.float16)
    return leaf.float() if is_low else leaf
