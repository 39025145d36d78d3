"""A layer of a model, built alone, does the same work there."""

import pytest
import torch
from torch import nn

from edgecompress.compress.layer_shapes import alone, channels_of, layer_shapes
from edgecompress.compress.macs import count
from edgecompress.spec.latency import Entry, LayerShape

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "plain": (nn.Conv2d(8, 16, 3, padding=1), (1, 8, 12, 10)),
    "strided": (nn.Conv2d(8, 16, (3, 5), stride=(2, 1), padding=(0, 2)), (1, 8, 13, 11)),
    "same": (nn.Conv2d(8, 16, 3, padding="same", dilation=2), (1, 8, 9, 9)),
    "valid": (nn.Conv1d(8, 24, 4, padding="valid"), (1, 8, 32)),
    "grouped": (nn.Conv2d(8, 16, 3, groups=4), (1, 8, 9, 9)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8, padding=1), (1, 8, 9, 9)),
    "transposed": (nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1), (1, 8, 5, 6)),
    "three": (nn.Conv3d(4, 8, 3, stride=2), (1, 4, 7, 7, 9)),
    "linear": (nn.Linear(12, 20), (1, 12)),
    "tokens": (nn.Linear(12, 20), (1, 7, 12)),
    "frames": (nn.Conv2d(8, 16, 3), (5, 8, 9, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_alone_it_has_the_same_work_and_output(name: str) -> None:
    layer, size = LAYERS[name]
    model = nn.Sequential(layer)
    given = (torch.rand(size),)
    shape = layer_shapes(model, given, ["0"])["0"]
    inputs, outputs = channels_of(model, ["0"])["0"]
    copy, example = alone(Entry(shape=shape, inputs=inputs, outputs=outputs))
    assert example[0].shape == size
    made = layer(*given)
    assert copy(*example).shape == made.shape
    assert count(copy, example).macs == count(model, given).macs
    places = made.shape[2:] if isinstance(layer, nn.modules.conv._ConvNd) else made.shape[1:-1]
    assert shape.out_size == tuple(places)
    assert LayerShape.model_validate_json(shape.model_dump_json()) == shape


def test_a_layer_may_be_given_its_input_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(12, 20)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inner(input=x)
            return found

    assert layer_shapes(Named(), (torch.rand(1, 12),), ["inner"])["inner"].kind == "Linear"


@pytest.mark.parametrize("name", LAYERS)
def test_a_pointwise_layer_of_its_family_can_follow_itself(name: str) -> None:
    layer, size = LAYERS[name]
    shape = layer_shapes(nn.Sequential(layer), (torch.rand(size),), ["0"])["0"]
    pointwise, channels = shape.pointwise(5000)
    twice = Entry(shape=pointwise, inputs=channels, outputs=channels, copies=2)
    model, example = alone(twice)
    assert model(*example).shape == example[0].shape
    assert pointwise.family == shape.family
    assert shape.family in ("Linear 0 as it ships",) or 2000 < example[0].numel() < 8000


def test_other_channels_of_a_depthwise_layer() -> None:
    layer, size = LAYERS["depthwise"]
    shape = layer_shapes(nn.Sequential(layer), (torch.rand(size),), ["0"])["0"]
    model, example = alone(Entry(shape=shape, inputs=24, outputs=24))
    assert example[0].shape[1] == model(*example).shape[1] == 24
