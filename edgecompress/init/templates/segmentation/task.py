"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgecompress import SegmentationTask

BATCH = 32
SIDE = 24


class MyTask(SegmentationTask):
    classes = 3  # background, disc, square

    def __init__(self) -> None:
        self.train_set = draw(1000, seed=0)  # YOURS: [N, 1, H, W] float32 and [N, H, W] int64
        self.eval_set = draw(300, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return Net(self.classes)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, SIDE, SIDE),)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        images, masks = self.train_set
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen], masks[chosen]

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(*(part.split(BATCH) for part in self.eval_set), strict=True)


class Net(nn.Module):
    """Down to a quarter of the size and back, each time beside what the larger size shows."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fine = block(1, 24)
        self.middle = block(24, 48, stride=2)
        self.coarse = nn.Sequential(block(48, 64, stride=2), block(64, 64))
        self.larger = nn.Upsample(scale_factor=2, mode="nearest")
        self.joined = block(48 + 64, 48, size=1)
        self.head = nn.Sequential(block(24 + 48, 32, size=1), nn.Conv2d(32, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        fine = self.fine(images)
        middle = self.middle(fine)
        joined = self.joined(torch.cat([middle, self.larger(self.coarse(middle))], 1))
        return self.head(torch.cat([fine, self.larger(joined)], 1))


def block(channels_in: int, channels_out: int, stride: int = 1, size: int = 3) -> nn.Module:
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A disc and a square in noise, and the class of every pixel."""
    random = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIDE, dtype=torch.float32)
    images = 0.2 * torch.randn(count, 1, SIDE, SIDE, generator=random)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for shape in (1, 2):
        x, y = 6 + (SIDE - 12) * torch.rand(2, count, 1, generator=random)
        reach = 4 + 3 * torch.rand(count, 1, 1, generator=random)
        across, down = (axis - x).abs()[:, None, :], (axis - y).abs()[:, :, None]
        far = (across**2 + down**2).sqrt() if shape == 1 else torch.maximum(across, down)
        inside = far < reach
        masks[inside] = shape
        images[:, 0][inside] += 1
    return images, masks
