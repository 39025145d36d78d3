"""Average pools in TFLite: with two scales, as trained, and no rounding in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("litert_torch", reason="litert-torch is not installed")

from litert_files import TfliteFile, export, quantised, random_inputs, scheme
from zoo.parts import image

from edgecompress.compress.means import MEAN_WEIGHT
from edgecompress.compress.quantize import calibrate, convert, prepare
from edgecompress.errors import ModelError

Pool = Callable[[Tensor], Tensor]
POOLS: dict[str, tuple[Pool, str]] = {
    "whole": (lambda x: functional.avg_pool2d(x, 8), "MEAN"),
    "adaptive": (lambda x: functional.adaptive_avg_pool2d(x, 1), "MEAN"),
    "halved": (lambda x: functional.avg_pool2d(x, 2), "DEPTHWISE_CONV_2D"),
    "overlapping": (lambda x: functional.avg_pool2d(x, (3, 2), 1), "DEPTHWISE_CONV_2D"),
    "padded": (lambda x: functional.avg_pool2d(x, 3, 2, 1), "DEPTHWISE_CONV_2D"),
}


class Pooling(nn.Module):
    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.pool(self.first(x).relu()))


class Joined(Pooling):
    """Two kinds of ranges meet in a concat, which so has a scale of its own."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.first(x).relu())
        return torch.cat([x, self.second(x).relu()], 1)


def built(
    kind: type[Pooling],
    pool: Pool,
    folder: Path,
    numbers: str = "affine",
    bits: Literal[7, 8] = 8,
) -> TfliteFile:
    torch.manual_seed(0)
    return quantised(kind(pool).eval(), image(), folder, numbers, bits=bits)


@pytest.mark.parametrize("name", POOLS)
def test_a_mean_is_one_int8_operator(name: str, tmp_path: Path) -> None:
    pool, kernel = POOLS[name]
    file = built(Pooling, pool, tmp_path)
    assert file.float_kinds == set()
    assert set(file.kinds) - {"RESHAPE", "PAD", "TRANSPOSE"} == {"CONV_2D", kernel}
    assert file.steps_apart() < 1.5
    assert file.steps_apart("BUILTIN_REF") < 1.5


def test_a_pool_that_counts_only_what_is_inside(tmp_path: Path) -> None:
    file = built(Pooling, nn.AvgPool2d(3, 2, 1, count_include_pad=False), tmp_path)
    assert file.float_kinds == set()
    assert file.steps_apart() < 1.5
    assert file.steps_apart("BUILTIN_REF") < 1.5


def test_padded_windows_beyond_the_padding_are_refused(tmp_path: Path) -> None:
    pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True)
    with pytest.raises(ModelError, match=r"^litert: pool: a padded average pool with ceil_mode"):
        built(Pooling, pool, tmp_path)


def test_a_pool_beside_a_concat_of_another_scale(tmp_path: Path) -> None:
    """The converter gave up: it wanted one scale for the pool and for the concat."""
    file = built(Joined, POOLS["halved"][0], tmp_path)
    assert file.float_kinds == set()
    assert file.steps_apart() < 1.5


def test_a_scale_that_was_chosen_for_it_makes_a_convolution_of_a_whole_mean(tmp_path: Path) -> None:
    file = built(Pooling, POOLS["whole"][0], tmp_path, "symmetric", 7)
    assert set(file.kinds) - {"RESHAPE"} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert file.steps_apart() < 0.5
    assert file.steps_apart("BUILTIN_REF") < 0.5


def test_a_clipped_mean_is_such_a_convolution_too(tmp_path: Path) -> None:
    file = built(
        Pooling, lambda x: (x - 1).mean((2, 3), keepdim=True).relu(), tmp_path, "symmetric", 7
    )
    assert file.kinds["DEPTHWISE_CONV_2D"] == 1
    assert not file.kinds["MEAN"]
    assert file.steps_apart("BUILTIN_REF") < 0.5


def test_scales_that_only_look_chosen_make_none(tmp_path: Path) -> None:
    """The exporter is told; it does not guess from a ratio that is odd by chance."""
    torch.manual_seed(0)
    own = scheme("symmetric")
    prepared = prepare(Pooling(POOLS["whole"][0]).eval(), image(), own, "minmax")
    calibrate(prepared, [(random_inputs(image(), 4, 0), None)])
    converted = convert(prepared, integers=False)
    for node in converted.graph.graph.nodes:
        if "avg_pool2d" in str(node.target):
            (quantizer,) = node.users
            step = node.args[0].args[1] / (MEAN_WEIGHT * 64)
            chosen = step * (round(quantizer.args[1] / step) | 1)
            for each in (quantizer, *quantizer.users):
                each.args = (each.args[0], chosen, *each.args[2:])
    converted.graph.recompile()
    told = {"layers": converted.layers, "scheme": own}
    assert export(converted.graph, image(), tmp_path, **told).kinds["MEAN"] == 1
