"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgecompress import AudioTask
from edgecompress.spec.preprocessing import AudioPreprocessing
from edgecompress.task import LogMel

BATCH = 64
SAMPLES = 2048


class MyTask(AudioTask):
    classes = 5
    sampling_rate_hz = 4000

    def __init__(self) -> None:
        self.train_set = draw(1200, seed=0)  # YOURS: [N, SAMPLES] float32 and [N] int64
        self.eval_set = draw(400, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return Net(self.sampling_rate_hz, self.classes)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, SAMPLES),)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        clips, labels = self.train_set
        for chosen in torch.randperm(len(clips)).split(BATCH):
            yield clips[chosen], labels[chosen]

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(*(part.split(BATCH) for part in self.eval_set), strict=True)

    def preprocessing(self) -> AudioPreprocessing:
        # YOURS: how samples come to the model; a file tells it to applications (check-contract).
        return AudioPreprocessing(sampling_rate_hz=self.sampling_rate_hz, samples=SAMPLES)

    def labels(self) -> tuple[str, ...]:
        return ("steady", "rising", "falling", "two tones", "beeps")


class Net(nn.Module):
    """Samples in: the front end is a part of the file."""

    def __init__(self, sampling_rate_hz: int, classes: int) -> None:
        super().__init__()
        self.front = LogMel(sampling_rate_hz, bands=24, window=128, hop=64)
        self.body = nn.Sequential(
            *block(1, 32),
            *block(32, 64, stride=2),
            *block(64, 64),
            *block(64, 96, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(96, classes),
        )

    def forward(self, clips: Tensor) -> Tensor:
        # Scaled to about -1 .. 1, as what follows is in 8 bits.
        return self.body(self.front(clips) / 6)


def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Half a second of tones in noise."""
    random = torch.Generator().manual_seed(seed)
    time = torch.linspace(0, 1, SAMPLES)
    labels = torch.randint(5, (count,), generator=random)
    pitch, other = 200 + 800 * torch.rand(2, count, 1, generator=random)
    # Half an octave, or more, up or down in the course of the clip.
    slope = pitch * (0.4 + 0.4 * torch.rand(count, 1, generator=random))
    bent = slope * ((labels == 1).float() - (labels == 2).float())[:, None]
    phase = 2 * math.pi * (pitch * time + bent * time**2 / 2) * SAMPLES / 4000
    clips = phase.sin()
    second = (2 * math.pi * (pitch + 300 + other / 2) * time * SAMPLES / 4000).sin()
    clips = torch.where(labels[:, None] == 3, (clips + second) / 2, clips)
    beats = (2 * math.pi * (6 * time + torch.rand(count, 1, generator=random))).sin() > 0
    clips = torch.where(labels[:, None] == 4, clips * beats, clips)
    return 0.5 * clips + 0.3 * torch.randn(count, SAMPLES, generator=random), labels
