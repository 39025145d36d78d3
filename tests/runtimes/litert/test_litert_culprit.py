"""A converter that dies or fails: one line with the operator and the module of the user's model."""

import ctypes
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

pytest.importorskip("litert_torch", reason="litert-torch is not installed")

from litert_files import export
from zoo.parts import conv

from edgecompress.errors import ModelError
from edgecompress.runtimes.culprit import first_failing, keep_first, steps_of
from edgecompress.runtimes.litert import convert as litert_convert


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = conv(3, 4)
        self.right = nn.ModuleList([conv(3, 4), nn.Softsign()])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        right = self.right[0](x)
        left = self.left(x).relu()
        high, low = self.right[1](right).split(2, dim=1)
        return left.mean((2, 3)), high + low


def net() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Net().eval(), (torch.randn(1, 3, 8, 8),)


def test_the_search_finds_the_first_step_and_stops_in_time() -> None:
    for culprit in range(20):
        asked: list[int] = []

        def fails(steps: int, culprit: int = culprit, asked: list[int] = asked) -> bool:
            asked.append(steps)
            return steps > culprit

        assert first_failing(fails, 20, time_s=60) == (culprit, culprit + 1)
        assert len(asked) <= 5
    assert first_failing(fails, 20, time_s=0) == (0, 20)


def test_every_beginning_of_a_graph_runs_and_holds_its_operators() -> None:
    model, inputs = net()
    whole = torch.export.export(model, inputs).module()
    assert isinstance(whole, GraphModule)
    names = [step.name for step in steps_of(whole)]
    for steps in range(1, len(names) + 1):
        graph = torch.export.export(model, inputs).module()
        assert isinstance(graph, GraphModule)
        keep_first(graph, steps)
        assert len(steps_of(graph)) == steps
        outputs = graph(*inputs)
        assert outputs
        if steps == len(names):
            for ours, theirs in zip(outputs, model(*inputs), strict=True):
                assert torch.equal(ours, theirs)


def test_a_converter_that_dies_takes_nothing_with_it_and_names_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(graph: GraphModule, source: object) -> bytes:
        if any("div" in str(step.target) for step in steps_of(graph)):
            ctypes.string_at(0)
        return b""

    monkeypatch.setattr(litert_convert, "_converted", crash)
    monkeypatch.setattr(litert_convert, "_read", lambda content: content)
    with pytest.raises(ModelError) as caught:
        export(*net(), tmp_path)
    assert str(caught.value) == (
        "litert: right.1 (aten.div): the converter died: SIGSEGV; replace that operator, or choose"
        " a target with another runtime"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_kernel_is_named_with_its_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ConvTranspose3d(4, 4, 3, 2)).eval()
    with pytest.raises(ModelError) as caught:
        export(model, (torch.randn(1, 4, 4, 4, 4),), tmp_path)
    message = str(caught.value)
    assert message.startswith("litert: 1 (aten.conv_transpose3d): ")
    assert "became STABLEHLO_CONVOLUTION, which no target has a kernel for" in message
