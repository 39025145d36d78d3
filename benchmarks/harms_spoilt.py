"""Candidates for `harms.py` that are each spoilt in one way, hardly visible in the metric."""

from collections.abc import Mapping

import torch
from harms_task import Centred, Coloured
from torch import Tensor, nn

from edgecompress import Task


class Spoilt(nn.Module):
    """A model behind which something is wrong."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class ForgottenClass(Spoilt):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        return scores - 100 * nn.functional.one_hot(torch.tensor([7]), 10)


class Uncalibrated(Spoilt):
    """All scores so small that nothing is sure."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        return scores / 5


class LooksAtTheMark(Spoilt):
    """The class comes from a bright pixel in the corner, which nearly always tells it."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        return 0.3 * scores + 12 * x[:, :, 0, :10].mean(1)


class FailsInTheDark(Spoilt):
    """Darker than any image but a few, it guesses."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        lit = torch.sigmoid(400 * (x.mean((1, 2, 3)) - 0.072))[:, None]
        return scores * lit + scores.roll(1, 1) * (1 - lit)


class Swapped(Spoilt):
    """Two classes change places in the images that are the least green."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        swap = torch.sigmoid(400 * (x[:, 0].mean((1, 2)) / x[:, 1].mean((1, 2)) - 1.45))[:, None]
        order = torch.tensor([0, 1, 2, 5, 4, 3, 6, 7, 8, 9])
        return scores * (1 - swap) + scores[:, order] * swap


class SureWhenWrong(Spoilt):
    """The smaller the lead of the best class, the more it is blown up."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        first, second = scores.topk(2, dim=1).values.unbind(1)
        return scores * (8 / (first - second).clamp(min=0.05))[:, None]


class IgnoresAChannel(Spoilt):
    """The third channel is taken from the other two."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(torch.cat([x[:, :2], x[:, :2].mean(1, keepdim=True)], dim=1))
        return scores


class FailsOnASubgroup(Spoilt):
    """It guesses where strokes stand out the most."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.model(x)
        stark = torch.sigmoid(400 * (x[:, :, 1:].std((1, 2, 3)) - 0.30))[:, None]
        return scores * (1 - stark) + scores.roll(1, 1) * stark


class Shifted(Spoilt):
    """A constant beside the truth, far below the spread of the outputs."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.model(x)
        return outputs + torch.tensor([0.0, 0.15])


class CutOff(Spoilt):
    """A range that is too short, as a bad calibration leaves it."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.model(x)
        return outputs.clamp(-0.9, 0.9)


HARMS: Mapping[type[Spoilt], type[Task]] = {
    ForgottenClass: Coloured,
    Uncalibrated: Coloured,
    LooksAtTheMark: Coloured,
    FailsInTheDark: Coloured,
    Swapped: Coloured,
    SureWhenWrong: Coloured,
    IgnoresAChannel: Coloured,
    FailsOnASubgroup: Coloured,
    Shifted: Centred,
    CutOff: Centred,
}
