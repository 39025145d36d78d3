"""An exponential moving average of a model's weights (Polyak & Juditsky, 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
_STATISTICS = ("running_mean", "running_var")


class Averaged:
    """The average of the weights, and of batch norm's statistics, over the steps of a training.
    Whatever else a model holds (ranges, counters) is the model's own.

    The decay of step t is at most (1 + t) / (10 + t), so that the first steps do not count for long
    (as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self.steps = 0
        self.state: State = {name: value.clone() for name, value in self._current()}

    def follow(self) -> None:
        """Take in the model after a step."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, value in self._current():
                self.state[name].lerp_(value, 1 - decay)

    def load(self, state: State, steps: int) -> None:
        """Go on from what was saved."""
        self.steps = steps
        with torch.no_grad():
            for name, value in state.items():
                self.state[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average while this is open."""
        current = self._current()
        kept = [value.clone() for _, value in current]
        with torch.no_grad():
            for name, value in current:
                value.copy_(self.state[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for (_, value), before in zip(current, kept, strict=True):
                    value.copy_(before)

    def _current(self) -> list[tuple[str, Tensor]]:
        buffers = [
            (name, value)
            for name, value in self._model.named_buffers()
            if name.rpartition(".")[2] in _STATISTICS
        ]
        trained = [(n, p.detach()) for n, p in self._model.named_parameters() if p.requires_grad]
        return [*trained, *buffers]
