"""Average pools in TFLite: with two scales, as trained, and no rounding in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("litert_torch", reason="litert-torch is not installed")

from litert_files import TfliteFile, quantised
from zoo.parts import image

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
    scheme: str = "affine",
    bits: Literal[7, 8] = 8,
) -> TfliteFile:
    torch.manual_seed(0)
    return quantised(kind(pool).eval(), image(), folder, scheme, bits=bits)


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
    file = built(Pooling, POOLS["whole"][0], tmp_path, scheme="symmetric", bits=7)
    assert set(file.kinds) - {"RESHAPE"} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert file.steps_apart() < 0.5
    assert file.steps_apart("BUILTIN_REF") < 0.5
