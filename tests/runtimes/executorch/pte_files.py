"""From a model to a .pte and what ExecuTorch makes of it, for tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from quantizing import Inputs, batch, calibrated
from torch import Tensor, nn

from edgecompress.artifact import Artifact
from edgecompress.compress.quantize import convert
from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes.executorch.export import export
from edgecompress.runtimes.executorch.inspect import inspect_pte
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import Inspection
from edgecompress.task.base import tensors_of

LOCAL = load_target("local-executorch")
LINEAGE = {"task": "t"}
LABELS = ("cat", "dög")


class Net(nn.Module):
    """A strided convolution, a depthwise one, a residual addition, a sigmoid, pools, two inputs and
    a shortcut that drops pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6())
        self.gate = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x).relu()
        x = (self.body(x) + x).relu()
        x = x[:, :, ::2, ::2] * self.gate(x[:, :, ::2, ::2]).sigmoid()
        x = torch.cat([x.mean((2, 3)), y], 1)
        return self.fc(x), x


@dataclass
class PteFile:
    """An exported file beside the torch module that it came from."""

    module: nn.Module
    example_inputs: Inputs
    artifact: Artifact
    layers: dict[str, str]

    @property
    def inspection(self) -> Inspection:
        return inspect_pte(self.artifact.path, "executorch", "x86_64")

    def torch(self, inputs: Inputs) -> list[Tensor]:
        with torch.no_grad():
            return tensors_of(self.module(*inputs))


def net() -> tuple[nn.Module, Inputs]:
    torch.manual_seed(0)
    return Net().eval(), (torch.randn(1, 3, 8, 8), torch.randn(1, 8))


def quantised(
    make: Callable[[], tuple[nn.Module, Inputs]],
    path: Path,
    wanted: str = "int8 affine",
    keep_float: tuple[str, ...] = (),
) -> PteFile:
    """Inputs are called in0, in1, .., outputs out0, out1, .."""
    model, inputs = make()
    converted = convert(calibrated(model, inputs, wanted, keep_float))
    with torch.no_grad():
        count = len(tensors_of(model(*inputs)))
    exportable = Exportable(
        module=converted.graph,
        example_inputs=inputs,
        free_batch=True,
        input_names=tuple(f"in{index}" for index in range(len(inputs))),
        output_names=tuple(f"out{index}" for index in range(count)),
        lineage=LINEAGE,
        target=LOCAL,
        labels=LABELS,
        layers=converted.layers,
        keep_float=keep_float,
        kept_because=dict.fromkeys(keep_float, "asked"),
    )
    return PteFile(converted.graph, inputs, export(exportable, path), converted.layers)


def samples(file: PteFile, count: int) -> Inputs:
    return batch(file.example_inputs, count, 100)
