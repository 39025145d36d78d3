"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import EmbeddingTask

BATCH = 128


class MyTask(EmbeddingTask):
    """Signs that look alike lie together, also those that training has never seen."""

    def __init__(self) -> None:
        # YOURS: [N, 1, 16, 16] float32 and [N] int64, equal for what is alike
        self.train_set = draw(signs=40, copies=40, seed=0)
        self.eval_set = draw(signs=25, copies=16, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return nn.Sequential(
            *block(1, 32),
            *block(32, 64, stride=2),
            *block(64, 64),
            *block(64, 128, stride=2),
            nn.Flatten(),
            nn.Linear(128 * 16, 32),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, 16, 16),)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        images, labels = self.train_set
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen], labels[chosen]

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(*(part.split(BATCH) for part in self.eval_set), strict=True)


def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def draw(signs: int, copies: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy copies of random signs, each copy moved by up to two pixels."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(signs).repeat(copies)
    patterns = torch.randint(2, (signs, 1, 4, 4), generator=random).float()
    large = functional.pad(functional.interpolate(patterns, scale_factor=3), (4, 4, 4, 4))
    moves = torch.randint(5, (len(labels), 2), generator=random).tolist()
    images = torch.stack(
        [large[i, :, y : y + 16, x : x + 16] for i, (y, x) in zip(labels, moves, strict=True)]
    )
    return images + 0.5 * torch.randn(images.shape, generator=random), labels
