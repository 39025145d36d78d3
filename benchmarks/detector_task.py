"""Discs, squares and triangles drawn by code, and a YOLO-like net that finds them: the task of
benchmarks/detector.py. It needs no data.

Each cell of two grids gives the classes' logits and, for each side of a box, a distribution of
distances in cells (distribution focal loss: Li et al., 2020), of which the decoder takes the mean.
"""

from collections.abc import Iterator
from functools import cache

import torch
from drawn_shapes import CLASSES, SIDE, Targets, drawn
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import DetectionTask
from edgecompress.task import NonMaximumSuppression

BATCH = 32
STRIDES = (8, 16)
BINS = 8
"""A side of a box is at most 7 cells from the middle of its cell."""
TRAINING, VALIDATION, TEST = 2000, 300, 500

Raw = tuple[Tensor, ...]
"""Two tensors of each grid: distances [N, 4 * BINS, rows, columns], and logits with CLASSES in the
place of those.
"""


class Shapes(DetectionTask):
    """`suppresses`: whether the file chooses among boxes that overlap."""

    classes = CLASSES

    def __init__(self, suppresses: bool = False) -> None:
        self.suppresses = suppresses

    def model(self) -> nn.Module:
        return Yolo()

    def decoder(self) -> nn.Module:
        return Suppressing() if self.suppresses else Decoder()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3, SIDE, SIDE),)

    def train_data(self) -> Iterator[tuple[Tensor, Targets]]:
        images, targets = drawn(TRAINING, 0)[:2]
        order = torch.randperm(TRAINING)
        for start in range(0, TRAINING, BATCH):
            rows = order[start : start + BATCH]
            yield images[rows], [targets[row] for row in rows.tolist()]

    def validation_data(self) -> Iterator[tuple[Tensor, Targets]]:
        return _in_order(*drawn(VALIDATION, 1)[:2])

    def eval_data(self) -> Iterator[tuple[Tensor, Targets]]:
        return _in_order(*drawn(TEST, 2)[:2])

    def loss(self, outputs: Raw, target: Targets) -> Tensor:
        """A box is wanted of the cells round its middle, in the grid that suits its size."""
        distances, logits = flat(outputs)
        middles, strides = cells()
        wanted, boxes = assigned(target, middles, strides)
        found = wanted.sum(2) > 0
        count = max(int(found.sum()), 1)
        apart = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        share = (logits.sigmoid() - wanted).abs() ** 2  # focal loss: Lin et al., 2017
        sides = sides_of(boxes, middles, strides)[found].clamp(0, BINS - 1.01)
        below = sides.long()
        chances = distances[found].log_softmax(-1)
        low = chances.gather(-1, below[..., None])[..., 0] * (below + 1 - sides)
        high = chances.gather(-1, below[..., None] + 1)[..., 0] * (sides - below)
        return (
            (share * apart).sum() / count
            - (low + high).mean()
            + overlap_loss(decoded(distances, middles, strides)[found], boxes[found])
        )


class Decoder(nn.Module):
    """Boxes [N, cells, 4], x1, y1, x2, y2 in pixels, and scores [N, cells, classes]."""

    middles: Tensor
    strides: Tensor

    def __init__(self) -> None:
        super().__init__()
        middles, strides = cells()
        self.register_buffer("middles", middles)
        self.register_buffer("strides", strides)

    def forward(self, outputs: Raw) -> tuple[Tensor, Tensor]:
        distances, logits = flat(outputs)
        return decoded(distances, self.middles, self.strides), logits.sigmoid()


class Suppressing(nn.Module):
    """Boxes [N, 50, 4], scores [N, 50] and classes [N, 50] that are left of those."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder, self.suppress = Decoder(), NonMaximumSuppression(count=50)

    def forward(self, outputs: Raw) -> tuple[Tensor, Tensor, Tensor]:
        left: tuple[Tensor, Tensor, Tensor] = self.suppress(*self.decoder(outputs))
        return left


class Yolo(nn.Module):
    """Backbone, a path up and a path down again, and a head for each grid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), Split(32, 1))
        self.eighth = nn.Sequential(conv(32, 64, 3, 2), Split(64, 2))
        self.sixteenth = nn.Sequential(conv(64, 96, 3, 2), Split(96, 1), Pyramid(96))
        self.up = Split(64, 1, channels_in=64 + 96)
        self.down = conv(64, 64, 3, 2)
        self.out = Split(96, 1, channels_in=64 + 96)
        self.heads = nn.ModuleList([Head(64), Head(96)])

    def forward(self, images: Tensor) -> Raw:
        eighth = self.eighth(self.stem(images))
        sixteenth = self.sixteenth(eighth)
        wide = functional.interpolate(sixteenth, scale_factor=2.0, mode="nearest")
        fine = self.up(torch.cat([wide, eighth], 1))
        coarse = self.out(torch.cat([self.down(fine), sixteenth], 1))
        return *self.heads[0](fine), *self.heads[1](coarse)


class Split(nn.Module):
    """Half of the channels go through blocks, and every step is kept (C2f)."""

    def __init__(self, channels: int, blocks: int, channels_in: int | None = None) -> None:
        super().__init__()
        half = channels // 2
        self.before = conv(channels if channels_in is None else channels_in, channels, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(half, half, 3), conv(half, half, 3)) for _ in range(blocks)
        )
        self.after = conv(half * (2 + blocks), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.before(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        out: Tensor = self.after(torch.cat(parts, 1))
        return out


class Pyramid(nn.Module):
    """Maxima over more and more of the picture, side by side (SPPF)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.before, self.after = conv(channels, half, 1), conv(half * 4, channels, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.before(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        out: Tensor = self.after(torch.cat(parts, 1))
        return out


class Head(nn.Module):
    """Boxes and classes apart, so that each has a scale of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.boxes = nn.Sequential(conv(channels, 32, 3), nn.Conv2d(32, 4 * BINS, 1))
        logits = nn.Conv2d(32, CLASSES, 1)
        assert logits.bias is not None
        nn.init.constant_(logits.bias, -4.0)  # most cells are empty
        self.classes = nn.Sequential(conv(channels, 32, 3), logits)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.boxes(x), self.classes(x)


def conv(channels_in: int, channels_out: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


def flat(outputs: Raw) -> tuple[Tensor, Tensor]:
    """Distances [N, cells, 4, BINS] and logits [N, cells, CLASSES] of all grids."""
    rows = [each.flatten(2).transpose(1, 2) for each in outputs]
    distances = torch.cat(rows[::2], 1)
    return distances.reshape(*distances.shape[:2], 4, BINS), torch.cat(rows[1::2], 1)


def decoded(distances: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Boxes [N, cells, 4] in pixels: a side is as far away as its distribution's mean."""
    bins = torch.arange(BINS, dtype=distances.dtype)
    left, top, right, bottom = ((distances.softmax(-1) * bins).sum(-1) * strides).unbind(-1)
    x, y = middles.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], -1)


@cache
def cells() -> tuple[Tensor, Tensor]:
    """Middles [cells, 2] in pixels, as x and y, and strides [cells, 1]."""
    middles, strides = [], []
    for stride in STRIDES:
        axis = (torch.arange(SIDE // stride) + 0.5) * stride
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        middles.append(torch.stack([x, y], -1).flatten(0, 1))
        strides.append(torch.full((x.numel(), 1), float(stride)))
    return torch.cat(middles), torch.cat(strides)


def assigned(target: Targets, middles: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Wanted classes [N, cells, CLASSES] and boxes [N, cells, 4]."""
    wanted = torch.zeros(len(target), len(middles), CLASSES)
    boxes = torch.zeros(len(target), len(middles), 4)
    for row, each in enumerate(target):
        for box, label in zip(each["boxes"], each["labels"], strict=True):
            side = float((box[2:] - box[:2]).max())
            stride = STRIDES[0] if side < 28 else STRIDES[1]
            middle = (box[:2] + box[2:]) / 2
            near = ((middles - middle).abs().amax(1) < 0.9 * stride) & (strides[:, 0] == stride)
            wanted[row, near] = 0
            wanted[row, near, label] = 1
            boxes[row, near] = box
    return wanted, boxes


def sides_of(boxes: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Distances [N, cells, 4] from a cell's middle to the sides of a box, in cells."""
    return torch.cat([middles - boxes[..., :2], boxes[..., 2:] - middles], -1) / strides


def overlap_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - intersection over union of boxes [n, 4], its mean."""
    both = torch.minimum(found[:, 2:], wanted[:, 2:]) - torch.maximum(found[:, :2], wanted[:, :2])
    shared = both.clamp(min=0).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) for boxes in (found, wanted)]
    return (1 - shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)).mean()


def _in_order(images: Tensor, targets: Targets) -> Iterator[tuple[Tensor, Targets]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH], targets[start : start + BATCH]
