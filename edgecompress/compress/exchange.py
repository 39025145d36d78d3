"""What goes between the processes at each step: weights out, gradients in.

One flat float32 tensor each way. Every process has the same model, whose parameters and buffers are
in the same order; only the main process has an optimizer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgecompress.compress.processes import Group


class Exchange:
    """The weights and gradients of one model, through one group."""

    def __init__(self, model: nn.Module, group: Group) -> None:
        self._model = model
        self._group = group
        self._shapes = {name: buffer.shape for name, buffer in _floats(model)}

    def fits(self) -> bool:
        """Whether what is sent still has the shapes of the model as the others were sent it."""
        return self._shapes == {name: buffer.shape for name, buffer in _floats(self._model)}

    def hand_out(self) -> None:
        """The main process's weights and statistics become everybody's."""
        tensors = [*self._trained(), *self._buffers().values()]
        values = _flat(tensors)
        self._group.hand_out(values)
        if self._group.rank:
            with torch.no_grad():
                _fill(tensors, values)

    def buffers(self) -> list[Tensor]:
        """Copies of what a step may change, beside the weights."""
        return [buffer.clone() for buffer in self._buffers().values()]

    def add_up(self, before: Sequence[Tensor], weight: float, loss: float) -> tuple[float, int]:
        """The main process's gradients become the sum of all, and its buffers change by
        the mean of all changes.

        Args:
            before: `buffers()` of before the step.
            weight: this process's share of the samples; 0: it has none, or failed.
            loss: this process's, by its share already.

        Returns:
            Of the main process: the loss, and how many processes took part.

        """
        trained, after = self._trained(), self._buffers()
        changes = [
            weight * (after[name] - old)
            if weight and after[name].shape == old.shape
            else torch.zeros_like(old)
            for name, old in zip(self._shapes, before, strict=True)
        ]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        told = [float(p.grad is not None) for p in trained]
        words = torch.tensor([*told, loss, float(weight > 0)], device=_device_of(trained))
        values = _flat([*gradients, *changes, words])
        self._group.add_up(values)
        if self._group.rank:
            return loss, 0
        with torch.no_grad():
            _fill([*gradients, *changes, words], values)
            for p, gradient, has in zip(trained, gradients, words.tolist(), strict=False):
                p.grad = gradient if has else None
            for name, old, change in zip(self._shapes, before, changes, strict=True):
                if after[name].shape == old.shape:
                    # A range that is not known yet is infinite, and has no mean.
                    after[name].copy_(torch.where(change.isfinite(), old + change, after[name]))
        return float(words[-2]), int(words[-1])

    def _trained(self) -> list[Tensor]:
        return [p for p in self._model.parameters() if p.requires_grad]

    def _buffers(self) -> dict[str, Tensor]:
        # Asked for each time, because an observer exchanges its buffers.
        return {name: buffer for name, buffer in _floats(self._model) if name in self._shapes}


def _floats(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, b) for name, b in model.named_buffers() if b.is_floating_point()]


def _device_of(tensors: Sequence[Tensor]) -> torch.device:
    return tensors[0].device if tensors else torch.device("cpu")


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors:
        return torch.zeros(1)
    return torch.cat([tensor.detach().float().flatten() for tensor in tensors])


def _fill(tensors: Sequence[Tensor], values: Tensor) -> None:
    """The reverse of `_flat`."""
    start = 0
    for tensor in tensors:
        part = values[start : start + tensor.numel()]
        tensor.copy_(part.view(tensor.shape))
        start += tensor.numel()
