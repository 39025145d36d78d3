"""Paths that are there in training mode alone: what they read stays whole, so that what was pruned
can be fine-tuned.
"""

import torch
from prune_checks import context, structured
from torch import Tensor, nn

from edgecompress.compress.in_training import trains_otherwise
from edgecompress.compress.prune import prune

IMAGE = (torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


class TwoHeads(nn.Module):
    """A second head reads the middle of it, in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Dropout(0.1))
        self.head, self.second = nn.Linear(24, 5), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out: Tensor = self.head(self.body(x).mean((2, 3)))
        return out + self.second(x.mean((2, 3))) if self.training else out


class Block(nn.Module):
    """A branch whose first layer something else reads, in training mode."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, width, 1), nn.Conv2d(width, 8, 1)
        self.middle: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.middle = self.a(x).relu()
        result: Tensor = x + self.b(self.middle)
        return result


class Deep(nn.Module):
    """Two such blocks; the middle of the first one is read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = Block(12), Block(12)
        self.second, self.head = nn.Conv2d(12, 5, 1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.two(self.one(self.stem(x))).mean((2, 3)))
        return out + self.second(self.one.middle).mean((2, 3)) if self.training else out


def test_what_a_second_head_reads_stays_whole_and_the_rest_is_pruned() -> None:
    torch.manual_seed(0)
    model = TwoHeads().eval()
    pruned = prune(model, structured(pruning_ratio=0.5), 8, context(IMAGE))
    channels = {row.name: row.channels_after for row in pruned.layers}
    assert channels["stem.0"] == 16
    assert channels["body.0"] == 16
    (why,) = [row.reason for row in pruned.layers if row.name == "stem.0"]
    assert why is not None
    assert "in training mode" in why
    pruned.model.train()
    pruned.model(torch.rand(2, 3, 8, 8)).sum().backward()


def test_a_block_that_a_second_head_looks_into_does_not_go_as_a_whole() -> None:
    torch.manual_seed(0)
    model = Deep().eval()
    pruned = prune(model, structured(remove_blocks=2), 8, context(IMAGE))
    gone = {name for removal in pruned.plan.blocks for name in removal}
    assert "two" in gone
    assert "one" not in gone, "then nothing would be in the middle of it"
    pruned.model.train()
    pruned.model(torch.rand(2, 3, 8, 8)).sum().backward()


def test_what_calls_the_same_in_both_modes_is_not_tried_twice() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Dropout(0.5)).eval()
    assert not trains_otherwise(model, IMAGE)
    assert trains_otherwise(TwoHeads(), (IMAGE[0].repeat(2, 1, 1, 1),))
