"""Numbers of several tensors that meet in float keep the scales that they had before."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from litert_files import quantised, random_inputs
from torch import Tensor, nn
from torch.nn import functional

Join = Callable[[Tensor, Tensor], Tensor]
X = (torch.zeros(1, 3, 8, 8),)


def rows(x: Tensor) -> Tensor:
    """Cells one after the other, as decoders have them."""
    return x.flatten(2).transpose(1, 2)


JOINS: dict[str, Join] = {
    "concatenation": lambda a, b: torch.cat([a, b], 1),
    "concatenation of rows": lambda a, b: torch.cat([rows(a), rows(b)], 1),
    "hstack": lambda a, b: torch.hstack([rows(a), rows(b)]),
    "stack": lambda a, b: torch.stack([rows(a), rows(b)], 1),
    "maximum": torch.maximum,
    "minimum of rows": lambda a, b: torch.minimum(rows(a), rows(b)),
    "choice": lambda a, b: torch.where(a > 0, a, b),
    "choice of rows": lambda a, b: torch.where(rows(a) > 0, rows(a), rows(b)),
    "sum of rows": lambda a, b: rows(a) + rows(b),
}


class Joining(nn.Module):
    def __init__(self, join: Join) -> None:
        super().__init__()
        self.join = join

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.join(a, b).softmax(-1)


class Apart(nn.Module):
    """Two layers, of which one puts out numbers a hundred times as large."""

    def __init__(self, join: Join) -> None:
        super().__init__()
        self.small, self.large = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        with torch.no_grad():
            self.large.weight.mul_(100)
        self.joining = Joining(join)

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.joining(self.small(x), self.large(x))
        return joined


@pytest.mark.parametrize("name", JOINS)
def test_scales_stay_apart(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = quantised(Apart(JOINS[name]).eval(), X, tmp_path, keep_float=("joining",))
    # Nothing is written in the integers of another scale, and what joins reads floats.
    assert not [
        op
        for op in file.graph.operators
        if op.op_type == "QUANTIZE" and op.data.dtype == op.outputs[0].dtype == "int8"
    ]
    assert "SOFTMAX" in file.float_kinds or "EXP" in file.float_kinds
    for seed in range(3):
        inputs = random_inputs(X, 1, 100 + seed)
        (ours,), (theirs,) = file.run(inputs, "BUILTIN_REF"), file.torch(inputs)
        # A layer that rounds a tie otherwise changes one number of a row.
        off = (torch.from_numpy(ours) - theirs).abs() > 0.02
        assert off.float().mean() < 0.01


class Functions(nn.Module):
    """What litert-torch writes as a choice between numbers and something made of them."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        chosen = (functional.softplus, functional.elu, functional.leaky_relu, functional.mish)
        return tuple(function(x) for function in chosen)


class Alone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.functions = nn.Conv2d(3, 8, 3, padding=1), Functions()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.functions(self.layer(x))  # type: ignore[no-any-return]


def test_a_function_that_chooses_is_computed_in_float(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = quantised(Alone().eval(), X, tmp_path, keep_float=("functions",))
    inputs = random_inputs(X, 1, 100)
    for ours, theirs in zip(file.run(inputs, "BUILTIN_REF"), file.torch(inputs), strict=True):
        off = (torch.from_numpy(ours) - theirs).abs() > 1e-4
        assert off.float().mean() < 0.01
