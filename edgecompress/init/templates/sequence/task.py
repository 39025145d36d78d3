"""What edgecompress needs to know of your model; put your own in at the marks YOURS."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgecompress import SequenceTask

BATCH = 64
LENGTH = 48
TOKENS = 50

Inputs = tuple[Tensor, Tensor]


class MyTask(SequenceTask):
    """Which of five phrases of three tokens is somewhere in a sequence?"""

    classes = 5

    def __init__(self) -> None:
        # YOURS: ids and mask, [N, LENGTH] int64 and float32, and [N] int64
        self.train_set = draw(1500, seed=0)
        self.eval_set = draw(400, seed=1)

    def model(self) -> nn.Module:
        # YOURS, trained: model.load_state_dict(
        #     torch.load("weights.pt", map_location="cpu", weights_only=True))
        return Net(self.classes)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return torch.zeros(1, LENGTH, dtype=torch.int64), torch.ones(1, LENGTH)

    def train_data(self) -> Iterable[tuple[Inputs, Tensor]]:
        ids, mask, labels = self.train_set
        for chosen in torch.randperm(len(ids)).split(BATCH):
            yield (ids[chosen], mask[chosen]), labels[chosen]

    def eval_data(self) -> Iterable[tuple[Inputs, Tensor]]:
        for ids, mask, labels in zip(*(part.split(BATCH) for part in self.eval_set), strict=True):
            yield (ids, mask), labels


class Net(nn.Module):
    """Convolutions over the tokens' vectors; of each channel the largest value counts."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, 48)
        self.body = nn.Sequential(block(48, 96), block(96, 96), block(96, 96))
        self.head = nn.Linear(96, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        vectors = self.tokens(ids) * mask[..., None]
        return self.head(self.body(vectors.transpose(1, 2)).amax(2))


def block(channels_in: int, channels_out: int) -> nn.Module:
    convolution = nn.Conv1d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(channels_out), nn.ReLU())


def draw(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random tokens of random length with a phrase in them; 0 is padding."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, TOKENS, (count, LENGTH), generator=random)
    labels = torch.randint(5, (count,), generator=random)
    lengths = torch.randint(LENGTH // 3, LENGTH + 1, (count,), generator=random)
    mask = (torch.arange(LENGTH) < lengths[:, None]).float()
    # The same tokens in five orders, so that none of them tells the phrase alone.
    phrases = torch.tensor([[7, 8, 9], [8, 9, 7], [9, 7, 8], [9, 8, 7], [8, 7, 9]])
    starts = (torch.rand(count, generator=random) * (lengths - 2)).long()
    rows = torch.arange(count)
    for place in range(3):
        ids[rows, starts + place] = phrases[labels, place]
    return ids * mask.long(), mask, labels
