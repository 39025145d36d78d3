"""Zeros are left out of a trace, and only zeros."""

import torch
from torch import Tensor, nn

from edgecompress.compress.capture import capture

X = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_what_is_clipped_to_above_zero_is_no_zero() -> None:
    class Clipping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            least = nn.functional.hardtanh(torch.zeros_like(x), 0.5, 1.0)
            return x + least + nn.functional.hardtanh(torch.zeros_like(x), -0.5, 1.0)

    graph, _ = capture(Clipping(), (X,))
    assert torch.equal(graph(X), X + 0.5)
    assert len([node for node in graph.graph.nodes if "add" in str(node.target)]) == 1
