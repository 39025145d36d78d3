"""Concatenations of what has no common unit."""

from typing import NamedTuple

import torch
from quantizing import scheme
from torch import Tensor, nn

from edgecompress.compress.joins import torn
from edgecompress.compress.quantize import Prepared, calibrate, captured, prepare_captured
from edgecompress.spec.scheme import QuantizationScheme
from edgecompress.task.base import tensors_of

IMAGES = (torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(1)),)
SENSORS = tuple(
    torch.randn(16, channels, 20, generator=torch.Generator().manual_seed(channels))
    for channels in (6, 1)
)


class Heads(nn.Module):
    """Boxes [N, 4, 4, 4] in pixels beside scores [N, 5, 4, 4], joined in some way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()
        )
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 5, 1)
        self.norm, self.last = nn.BatchNorm2d(9), nn.Conv2d(9, 8, 3)
        self.norm.running_var[:4] = 640.0**2 / 10
        self.norm.running_var[4:] = 0.1
        if how == "a layer that levels them":
            with torch.no_grad():
                self.last.weight[:, :4] /= 640

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        h = self.body(x)
        boxes, raw = self.boxes(h).sigmoid() * 640, self.scores(h)
        return HEADS[self.how](self, boxes, raw)


def _in_slices(_: Heads, boxes: Tensor, raw: Tensor) -> Tensor:
    result = boxes.new_empty(len(boxes), 4, 4, 9)
    result[..., :4] = boxes.permute(0, 2, 3, 1)
    result[..., 4:] = raw.permute(0, 2, 3, 1).sigmoid()
    return result


def _afterwards(_: Heads, boxes: Tensor, raw: Tensor) -> Tensor:
    joined = torch.cat([boxes, raw], 1).flatten(2)
    return torch.cat([joined[:, :4], joined[:, 4:].sigmoid()], 1).transpose(1, 2)


HEADS = {
    "at the output": lambda _, b, r: torch.cat([b, r.sigmoid()], 1),
    "flat": lambda _, b, r: torch.cat([b.flatten(2), r.sigmoid().flatten(2)], 1).transpose(1, 2),
    "in slices": _in_slices,
    "scores afterwards": _afterwards,
    "stacked": lambda _, b, r: torch.stack([b.mean(1), r.sigmoid().mean(1)], -1),
    "scaled": lambda _, b, r: torch.cat([b, r], 1) * 2 + 1,
    "a batch norm": lambda m, b, r: m.last(m.norm(torch.cat([b, r], 1)).relu()),
    "a layer that levels them": lambda m, b, r: m.last(torch.cat([b, r], 1)),
    "a layer of boxes": lambda m, b, r: m.last(torch.cat([b, r], 1)),
    "alike": lambda m, b, r: m.last(torch.cat([b / 640, r], 1).relu()),
}
"""The last two lose nothing that anyone reads."""


class Sensors(nn.Module):
    """Acceleration and turn rates beside a pressure, which is a thousand times larger."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv1d(7, 8, 3), nn.Conv1d(8, 4, 3)
        with torch.no_grad():
            self.first.weight[:, 6:] /= 1000

    def forward(self, motion: Tensor, pressure: Tensor) -> Tensor:
        return self.last(self.first(torch.cat([motion, 1000 * pressure], 1)).relu())


class Kept(NamedTuple):
    prepared: Prepared
    because: dict[str, str]


def kept(model: nn.Module, inputs: tuple[Tensor, ...], wanted: str | QuantizationScheme) -> Kept:
    """Calibrated, with what is torn in float."""
    which = scheme(wanted) if isinstance(wanted, str) else wanted
    traced = captured(model, tuple(x[:1] for x in inputs))
    because = torn(traced, which, [inputs])
    prepared = prepare_captured(traced, which, "minmax", tuple(because))
    calibrate(prepared, [(inputs if len(inputs) > 1 else inputs[0], None)])
    return Kept(prepared, because)


def of_members(right: object, found: object) -> list[float]:
    """Signal to noise in dB: of boxes and scores apart, where a dimension has nine of them."""
    result = []
    for a, b in zip(tensors_of(right), tensors_of(found), strict=True):
        nine = [dim for dim in range(1, a.dim()) if a.shape[dim] == 9]
        sizes, dim = (
            ([4, 5], nine[0]) if nine else ([1, 1], -1) if a.shape[-1] == 2 else ([len(a)], 0)
        )
        for x, y in zip(a.split(sizes, dim), b.split(sizes, dim), strict=True):
            result.append(float(10 * torch.log10(x.square().sum() / (x - y).square().sum())))
    return result
