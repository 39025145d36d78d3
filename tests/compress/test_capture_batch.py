"""Whether the batch of a captured graph is free, by how forward() takes its inputs."""

import pytest
import torch
from torch import Tensor, nn

from edgecompress.compress.capture import capture

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Loose(nn.Module):
    """Takes more than it needs, as detectors and transformers do."""

    def forward(self, x: Tensor, *more: Tensor, scale: float = 2.0, **_: object) -> Tensor:
        return sum(more, x) * scale


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_batch_is_free_whatever_else_forward_takes(count: int) -> None:
    graph, free_batch = capture(Loose(), (X,) * count)
    assert free_batch
    inputs = (X.expand(3, -1, -1, -1),) * count
    torch.testing.assert_close(graph(*inputs), Loose()(*inputs))
