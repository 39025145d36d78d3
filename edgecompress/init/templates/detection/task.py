"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import DetectionTask

BATCH = 32
SIDE = 48
CELL = 8

Target = list[dict[str, Tensor]]


class MyTask(DetectionTask):
    classes = 2  # disc, square

    def __init__(self) -> None:
        self.train_set = draw(1500, seed=0)  # YOURS: [N, 1, H, W] float32, and each one's objects
        self.eval_set = draw(300, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return Net(self.classes)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, SIDE, SIDE),)

    def train_data(self) -> Iterable[tuple[Tensor, Target]]:
        order = torch.randperm(len(self.train_set[1]))
        return batches(self.train_set, order)

    def eval_data(self) -> Iterable[tuple[Tensor, Target]]:
        return batches(self.eval_set, torch.arange(len(self.eval_set[1])))

    def decoder(self) -> nn.Module:
        return Decoder()

    def loss(self, outputs: tuple[Tensor, Tensor], target: Target) -> Tensor:
        """YOURS: here the cell in which an object's middle lies has its class and its box."""
        places, scores = outputs
        wanted, boxes, cells = assigned(target, scores)
        apart = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        # Focal loss: what is easy, such as the ground, says less.
        share = (scores.sigmoid() - wanted).abs() ** 2
        found = boxes_of(places)[cells]
        boxes_apart = functional.smooth_l1_loss(found / CELL, boxes / CELL, beta=0.2)
        return (share * apart).sum() / max(len(boxes), 1) + boxes_apart


class Net(nn.Module):
    """For each cell of 8 by 8 pixels a box and scores, as raw numbers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *block(1, 24, stride=2),
            *block(24, 48, stride=2),
            *block(48, 64, stride=2),
            *block(64, 96),
            *block(96, 96),
        )
        self.places, self.scores = nn.Conv2d(96, 4, 1), nn.Conv2d(96, classes, 1)
        nn.init.constant_(self.scores.bias, -3.0)  # most cells are empty

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(images)
        return self.places(seen), self.scores(seen)


class Decoder(nn.Module):
    """YOURS: boxes [N, cells, 4] in pixels and scores [N, cells, classes]; the end of the file. To
    have the file choose among boxes that overlap, end with edgecompress.task's
    NonMaximumSuppression.
    """

    def forward(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return boxes_of(outputs[0]), rows(outputs[1]).sigmoid()


def boxes_of(places: Tensor) -> Tensor:
    """[N, 4, rows, columns] to corners [N, cells, 4]: distances from the middle of each cell."""
    middles = (torch.arange(SIDE // CELL) + 0.5) * CELL
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    middle = torch.stack([x, y], -1).flatten(0, 1)
    before, after = (CELL * functional.softplus(rows(places))).chunk(2, 2)
    return torch.cat([middle - before, middle + after], 2)


def rows(x: Tensor) -> Tensor:
    """[N, channels, rows, columns] to [N, cells, channels]."""
    return x.flatten(2).transpose(1, 2)


def assigned(target: Target, scores: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Wanted scores like `scores`, boxes [objects, 4], and the picture and cell of each."""
    boxes = torch.cat([each["boxes"] for each in target])
    labels = torch.cat([each["labels"] for each in target])
    pictures = torch.arange(len(target)).repeat_interleave(
        torch.tensor([len(each["labels"]) for each in target])
    )
    column, row = ((boxes[:, :2] + boxes[:, 2:]) / 2 // CELL).long().T
    wanted = torch.zeros_like(scores)
    wanted[pictures, labels, row, column] = 1
    return wanted, boxes, (pictures, row * (SIDE // CELL) + column)


def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def batches(data: tuple[Tensor, Target], order: Tensor) -> Iterator[tuple[Tensor, Target]]:
    images, objects = data
    for chosen in order.split(BATCH):
        yield images[chosen], [objects[i] for i in chosen.tolist()]


def draw(count: int, seed: int) -> tuple[Tensor, Target]:
    """One to three discs and squares, each in a part of the picture of its own, in noise."""
    random = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIDE) + 0.5
    images = 0.3 * torch.randn(count, 1, SIDE, SIDE, generator=random)
    target = []
    for image in images:
        many = int(torch.randint(1, 4, (), generator=random))
        corners = torch.randperm(4, generator=random)[:many]
        reach = 4 + 7 * torch.rand(many, generator=random)
        x, y = (SIDE / 4 + SIDE / 2 * part for part in (corners % 2, corners // 2))
        labels = torch.randint(2, (many,), generator=random)
        for each in range(many):
            across, down = (axis - x[each]).abs(), (axis - y[each]).abs()[:, None]
            far = torch.hypot(across, down) if labels[each] == 0 else torch.maximum(across, down)
            image[0, far < reach[each]] += 1
        boxes = torch.stack([x - reach, y - reach, x + reach, y + reach], 1)
        target.append({"boxes": boxes, "labels": labels})
    return images, target
