"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgecompress import MultiLabelTask

BATCH = 64
SIDE = 24


class MyTask(MultiLabelTask):
    """Which shapes are in a picture?"""

    classes = 4

    def __init__(self) -> None:
        self.train_set = draw(1500, seed=0)  # YOURS: [N, 1, H, W] float32, [N, classes] 0 or 1
        self.eval_set = draw(400, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return nn.Sequential(
            *block(1, 32),
            *block(32, 64, stride=2),
            *block(64, 64),
            *block(64, 128, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(128, self.classes),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, SIDE, SIDE),)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        images, targets = self.train_set
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen], targets[chosen]

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(*(part.split(BATCH) for part in self.eval_set), strict=True)

    def labels(self) -> tuple[str, ...]:
        return ("disc", "ring", "line across", "line down")


def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Each shape in half of the pictures, somewhere, in noise."""
    random = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIDE, dtype=torch.float32)
    targets = torch.randint(2, (count, 4), generator=random).float()
    images = 0.3 * torch.randn(count, SIDE, SIDE, generator=random)
    for label in range(4):
        x, y = 6 + (SIDE - 12) * torch.rand(2, count, 1, generator=random)
        across, down = (axis - x).abs()[:, None, :], (axis - y).abs()[:, :, None]
        distance = (across**2 + down**2).sqrt()
        shape = (
            distance < 3,
            (distance - 5).abs() < 0.8,
            (down < 0.8) & (across < 6),
            (across < 0.8) & (down < 6),
        )[label]
        images += shape * targets[:, label, None, None]
    return images[:, None], targets
