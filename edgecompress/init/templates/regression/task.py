"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgecompress import RegressionTask

BATCH = 64
SIDE = 24


class MyTask(RegressionTask):
    """Where a disc is and how large, as shares of the picture's side."""

    def __init__(self) -> None:
        self.train_set = draw(1500, seed=0)  # YOURS: [N, 1, H, W] float32 and [N, values] float32
        self.eval_set = draw(400, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return nn.Sequential(
            *block(1, 32),
            *block(32, 64, stride=2),
            *block(64, 64, stride=2),
            *block(64, 64, stride=2),
            nn.Flatten(),
            nn.Linear(64 * (SIDE // 8) ** 2, 64),
            nn.ReLU(),
            nn.Linear(64, 3),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, SIDE, SIDE),)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        images, targets = self.train_set
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen], targets[chosen]

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(*(part.split(BATCH) for part in self.eval_set), strict=True)


def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Discs in noise, and x, y and radius of each."""
    random = torch.Generator().manual_seed(seed)
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    x, y = 0.2 + 0.6 * torch.rand(2, count, 1, generator=random)
    radius = 0.1 + 0.2 * torch.rand(count, 1, generator=random)
    distance = ((axis - x)[:, None, :] ** 2 + (axis - y)[:, :, None] ** 2).sqrt()
    # Soft edges, so that a picture tells more than whole pixels.
    discs = ((radius[..., None] - distance) * SIDE).sigmoid()
    images = discs + 0.2 * torch.randn(count, SIDE, SIDE, generator=random)
    return images[:, None], torch.cat([x, y, radius], 1)
