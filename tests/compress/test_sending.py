"""A model that another process is sent computes there what it computes here."""

import torch
from quantizing import calibrated
from torch import Tensor, nn

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.folding import freeze_statistics
from edgecompress.compress.modes import set_training
from edgecompress.compress.sending import Lessons, packed, sendable, unpacked


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.norm(self.convolution(x)).relu().mean((2, 3))
        return {"scores": self.head(self.drop(x))}


def sent(model: nn.Module) -> nn.Module:
    twin, hooks = sendable(model)
    lessons = Lessons("qat", twin, hooks, None, None, 0.0, torch.float32, 0, 0)
    return unpacked(packed(lessons)).model


def assert_alike(one: nn.Module, other: nn.Module) -> None:
    """In outputs, gradients, and what a step leaves in the buffers."""
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    for model in (one, other):
        torch.manual_seed(1)  # dropout
        model(x)["scores"].square().sum().backward()
    names = [[name for name, _ in model.named_parameters()] for model in (one, other)]
    assert names[0] == names[1]
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or torch.equal(p.grad, q.grad)
    buffers = dict(other.named_buffers())
    for name, buffer in one.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    one.zero_grad()


def test_a_fake_quantised_graph_in_each_of_its_phases() -> None:
    torch.manual_seed(0)
    graph = calibrated(Net().eval(), (torch.randn(1, 3, 8, 8),), "int8 affine").graph
    run = CalibrationRun(graph)
    run.follow()
    set_training(graph, True)
    assert_alike(graph, sent(graph))
    run.freeze()
    freeze_statistics(graph)
    set_training(graph, True)
    twin = sent(graph)
    assert_alike(graph, twin)
    assert len(twin._forward_pre_hooks) == len(graph._forward_pre_hooks)


def test_a_users_module() -> None:
    model = Net().train()
    twin = sent(model)
    assert type(twin) is Net
    assert twin.training
    assert_alike(model, twin)
