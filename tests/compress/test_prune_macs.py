"""MACs and parameters, against figures worked out by hand."""

import pytest
import torch
from torch import nn
from zoo.catalogue import build

from edgecompress.compress.macs import count


def test_convolutions_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 16, 1, stride=2),
        nn.ConvTranspose2d(16, 4, 2, 2),
        nn.Flatten(),
        nn.Linear(4 * 64, 10),
    )
    cost = count(model, (torch.randn(1, 3, 8, 8),))
    assert cost.layers == {
        "0": 64 * 8 * 3 * 9,
        "2": 64 * 8 * 9,
        "3": 16 * 16 * 8,
        "4": 16 * 16 * 4 * 4,
        "6": 256 * 10,
    }
    assert cost.macs == sum(cost.layers.values())
    assert cost.params == (8 * 27 + 8) + (8 * 9 + 8) + (16 * 8 + 16) + (16 * 16 + 4) + 2570


def test_resnet20_is_the_published_size() -> None:
    cost = count(*build("resnet20"))
    assert cost.macs == 40_551_040
    assert cost.params == 269_722


@pytest.mark.parametrize("name", ["resnet20", "text", "transformer", "mobilenet_v3", "decoder"])
def test_exported_graph_counts_the_same(name: str) -> None:
    model, inputs = build(name)
    eager = count(model, inputs)
    graph = count(torch.export.export(model, inputs).module(), inputs)
    assert graph.macs == eager.macs
    for layer, macs in eager.layers.items():
        if isinstance(model.get_submodule(layer), nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert graph.layers[layer] == macs


def test_recurrent_and_attention_are_not_free() -> None:
    lstm = nn.LSTM(8, 8, batch_first=True)
    assert count(lstm, (torch.randn(1, 5, 8),)).macs == 5 * 4 * 8 * (8 + 8)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    projections = 5 * (3 * 8 * 8 + 8 * 8 + 2 * 8 * 16)
    scores = 2 * 5 * 5 * 8
    assert count(encoder, (torch.randn(1, 5, 8),)).macs == projections + scores


def test_function_in_forward_is_credited_to_its_module() -> None:
    model, inputs = build("functional_weight")
    assert count(model, inputs).layers[""] == 24 * 10


def test_modes_and_gradients_are_as_before() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model[1].eval()
    mean = model[1].running_mean.clone()
    count(model, (torch.randn(1, 3, 8, 8),))
    assert [m.training for m in model] == [True, False, True]
    assert torch.equal(model[1].running_mean, mean)
    assert model[0].weight.grad is None


def test_tied_weight_counts_once() -> None:
    model, inputs = build("tied_weights")
    assert count(model, inputs).params == 16 * 16 + 2 * 16 + (16 * 32 + 32) + (32 * 16 + 16)
