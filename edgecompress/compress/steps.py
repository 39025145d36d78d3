"""The optimizer, its schedule, and one step of it."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from edgecompress.compress.averaging import Averaged
from edgecompress.compress.hardware import Hardware
from edgecompress.spec.deploy import TrainSpec

_MOMENTUM = 0.9


def learning_rate(spec: TrainSpec, progress: float) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov & Hutter, 2017, without restarts);
    `progress` in epochs.
    """
    if progress < spec.warmup_epochs:
        return spec.learning_rate * (progress + 0.01) / (spec.warmup_epochs + 0.01)
    share = (progress - spec.warmup_epochs) / max(spec.epochs - spec.warmup_epochs, 1e-9)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def optimizer_of(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    # Biases and normalisation gains are not decayed: it costs accuracy and regularises nothing.
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    other = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": other, "weight_decay": 0.0},
    ]
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=_MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, lr=spec.learning_rate)


class Steps:
    """Turns gradients into steps."""

    def __init__(self, model: nn.Module, spec: TrainSpec, hardware: Hardware) -> None:
        self._model = model
        self._spec = spec
        self.optimizer = optimizer_of(model, spec)
        # Where the precision needs none, all of its methods hand on what they are given.
        self._scaler = torch.amp.GradScaler(hardware.device.type, enabled=hardware.scales_loss)
        self.average = None if spec.ema_decay is None else Averaged(model, spec.ema_decay)

    @property
    def scale(self) -> float:
        """What a loss is multiplied by, so that small gradients are not lost."""
        return self._scaler.get_scale()

    def at(self, progress: float) -> float:
        """Set the learning rate for `progress`, in epochs."""
        rate = learning_rate(self._spec, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def clear(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, batches: int, after: Callable[[], None]) -> None:
        """One step by the mean of the gradients of so many batches; `after` ends it."""
        self._scaler.unscale_(self.optimizer)
        if batches > 1:
            for parameter in self._model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(batches)
        if self._spec.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._spec.gradient_clip)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        after()
        if self.average is not None:
            self.average.follow()

    def averaged(self) -> AbstractContextManager[None]:
        """The model has the average of its weights while this is open, if there is one."""
        return nullcontext() if self.average is None else self.average.in_place()

    def state(self) -> dict[str, Any]:
        """What the next step depends on, beside the model."""
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict()}
        if self._scaler.is_enabled():
            state["scaler"] = self._scaler.state_dict()
        if self.average is not None:
            state["average"] = {"state": self.average.state, "steps": self.average.steps}
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, on whatever device."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler.is_enabled() and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load(**state["average"])
