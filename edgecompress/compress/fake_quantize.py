"""The fake-quantize modules of a prepared graph: whose scale they use, and how they round."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e import FakeQuantize

_STEEPEST = 1.0
"""The largest gradient of the logarithm of a scale."""


class _Learnt(torch.autograd.Function):
    """Rounds, and has the gradients of Esser et al. (2020): see `step_size`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, growth: Tensor, scale: Tensor, limits: tuple[int, int]
    ) -> Tensor:
        """`scale` broadcasts along `x`, and has as many numbers as `growth`."""
        exact = x.mul(1 / scale)
        steps = exact.round().clamp_(*limits)
        inside = (exact >= limits[0]) & (exact <= limits[1])
        ctx.save_for_backward(steps - torch.where(inside, exact, 0), inside, scale)
        ctx.highest, ctx.shape = limits[1], growth.shape
        return steps.mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slope, inside, scale = ctx.saved_tensors
        alone = [d for d in range(slope.dim()) if d >= scale.dim() or scale.shape[d] == 1]
        of_scale = (gradient * slope).sum(alone, keepdim=True) if alone else gradient * slope
        channels = scale.numel()
        count = slope.numel() / channels if channels > 1 else slope[0].numel()
        of_growth = of_scale.reshape(ctx.shape) / scale.reshape(ctx.shape)
        of_growth = of_growth / (max(count, 1) * max(ctx.highest, 1)) ** 0.5
        # A channel that is nearly zero has a tiny scale, and would be asked to grow without bound.
        return gradient * inside, of_growth.clamp(-_STEEPEST, _STEEPEST), None, None


def _learnt(x: Tensor, growth: Tensor, scale: Tensor, limits: tuple[int, int]) -> Tensor:
    # A copy, because the next run may find another scale before this one's gradient is asked for.
    return cast(Tensor, _Learnt.apply(x, growth, scale.clone(), limits))  # type: ignore[no-untyped-call]


class AdjustedFakeQuantize(FakeQuantize):
    """Uses another scale than the range would have, where somebody chooses it. Where no gradient is
    wanted it computes the same numbers as torch's kernel, which goes element by element, by
    operators that take many at once: they are over ten times faster.
    """

    adjust: Callable[[Tensor], Tensor] | None = None
    growth: nn.Parameter | None
    """[C] or [1], where the scale is learnt: the logarithm of how many times `start` it is."""
    start: Tensor | None
    held: Tensor
    """uint8 [1]: 1 where the scale stays as it is, whatever is seen. What was rounded or trained
    for a scale computes something else in any other.
    """
    offset: Tensor | None
    """int8, shaped like what is quantised: by how many steps each value ends beside the nearest
    integer; None: nowhere.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.register_buffer("held", torch.tensor([0], dtype=torch.uint8))
        self.register_buffer("offset", None)
        self.register_buffer("start", None)
        self.register_parameter("growth", None)

    def hold(self, offset: Tensor | None = None) -> None:
        """Keep the scale that it has now, and round so."""
        self.held.fill_(1)
        self.offset = offset
        self.enable_observer(False)

    def learn(self) -> None:
        """Let the scale be a parameter, from what was seen last."""
        # Before it is adjusted: adjusted twice it would be another.
        self.start = super().calculate_qparams()[0].clone()
        self.hold()
        self.growth = nn.Parameter(torch.zeros_like(self.scale))

    def refresh(self) -> None:
        """Make the scale what was learnt of it, and what may ship."""
        if self.growth is None or self.start is None:
            return
        with torch.no_grad():
            scale = self.activation_post_process.allowed(self.start * self.growth.exp())
            self.scale.copy_(scale if self.adjust is None else self.adjust(scale))

    def settle(self) -> None:
        """Keep the scale that was learnt."""
        self.start = self.growth = None

    def release(self) -> None:
        """Follow what is seen again, and round to the nearest step."""
        self.held.fill_(0)
        self.offset = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        offset = state_dict.get(f"{prefix}offset")
        self.offset = None if offset is None else torch.empty_like(offset)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def forward(self, x: Tensor) -> Tensor:
        observer = self.activation_post_process
        observes, quantises = bool(self.observer_enabled[0]), bool(self.fake_quant_enabled[0])
        if not (observer.current or quantises):
            if observes:
                observer(x.detach())  # nobody needs its scale before the run ends
            return x
        if quantises and self.growth is not None and torch.is_grad_enabled():
            return _learnt(x, self.growth, self._along(x), self.limits)
        if torch.is_grad_enabled() and x.requires_grad and self.offset is None:
            return cast(Tensor, super().forward(x))
        if observes:
            observer(x.detach())
            for own, value in zip(
                (self.scale, self.zero_point), self.calculate_qparams(), strict=True
            ):
                own.resize_(value.shape).copy_(value)
        return self._rounded(x) if quantises else x

    def _rounded(self, x: Tensor) -> Tensor:
        """round(x / scale) between the integers' limits, times scale; x / scale as a product with
        the inverse in float32, as torch's kernels have it.
        """
        low, high = self.limits
        if not self.is_per_channel:
            steps, scale = x.mul((1 / self.scale).item()).round_(), self.scale.item()
        else:
            scale = self._along(x)
            steps = x.mul(1 / scale).round_()
        if self.offset is not None:
            steps += self.offset
        return steps.clamp_(low, high).mul_(scale)

    def _along(self, x: Tensor) -> Tensor:
        """The scale, to broadcast along `x`; what is per channel has zero points of 0."""
        shape = [1] * x.dim()
        if self.is_per_channel:
            shape[self.ch_axis] = -1
        return cast(Tensor, self.scale.reshape(shape))

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the largest number of steps from zero."""
        observer = self.activation_post_process
        if observer.current:
            return -observer.limit, observer.limit  # kernels may need them to stay below the type's
        zero_point = 0 if self.is_per_channel else int(self.zero_point)
        return self.quant_min - zero_point, self.quant_max - zero_point

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        if self.held:
            return self.scale, self.zero_point
        scale, zero_point = super().calculate_qparams()
        return scale if self.adjust is None else self.adjust(scale), zero_point


def observers_of(model: torch.nn.Module) -> list[FakeQuantize]:
    """Every fake-quantize module of a prepared graph."""
    return [m for m in model.modules() if isinstance(m, FakeQuantize)]
