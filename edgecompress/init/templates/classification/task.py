"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import ClassificationTask

BATCH = 64


class MyTask(ClassificationTask):
    classes = 10

    def __init__(self) -> None:
        images, labels = load_data()  # YOURS: [N, 1, 16, 16] float32 and [N] int64
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        images, labels = images[order], labels[order]
        cut = len(images) * 4 // 5
        self.train_set = images[:cut], labels[:cut]
        self.eval_set = images[cut:], labels[cut:]

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


def load_data() -> tuple[Tensor, Tensor]:
    """Handwritten digits where scikit-learn is installed, else noisy copies of ten patterns."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        random = torch.Generator().manual_seed(0)
        labels = torch.randint(10, (2000,), generator=random)
        patterns = torch.rand(10, 1, 8, 8, generator=random)
        images = patterns[labels] + 0.5 * torch.randn(2000, 1, 8, 8, generator=random)
    else:
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
        labels = torch.tensor(digits.target)
    return functional.interpolate(images, size=(16, 16), mode="bilinear"), labels
