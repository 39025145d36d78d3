"""All units compete: `allocation: global`."""

from dataclasses import replace

import pytest
import torch
from prune_checks import assert_equals_masked, context, structured
from torch import Tensor, nn
from zoo.catalogue import build

from edgecompress.compress import importance
from edgecompress.compress.across import FLOOR, across_groups
from edgecompress.compress.allocate import Space, Wanted
from edgecompress.compress.macs import count
from edgecompress.compress.prunable import prunable
from edgecompress.compress.prune import prune
from edgecompress.errors import ModelError


def toy() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Two hidden layers of 20; the second is ten times as wide in what it reads."""
    torch.manual_seed(0)
    layers = [nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 20)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(20, 40)), (torch.randn(1, 4),)


def space(round_to: int = 1) -> Space:
    model, inputs = toy()
    cost = count(model, inputs)
    groups = [g for g in prunable(model, inputs, round_to).groups if len(g.units) == 20]
    return Space.of(model, groups, round_to, cost, cost.macs)


def test_the_lowest_of_all_go_whichever_group_they_are_in() -> None:
    scores = [torch.arange(20.0), torch.arange(20.0) + 10]
    # 16 of 40: 0..9 of the first alone, then both in turn from 10 on.
    assert across_groups(space(), scores, Wanted(ratio=0.4)) == [20 - 13, 20 - 3]


def test_each_group_keeps_its_floor() -> None:
    scores = [torch.arange(20.0), torch.arange(20.0) + 1000]
    kept = across_groups(space(), scores, Wanted(ratio=0.6))
    assert kept == [FLOOR * 20, 40 - 24 - FLOOR * 20]
    with pytest.raises(ModelError, match=r"pruning_ratio 0.95 cannot be reached.*at most 0\.90"):
        across_groups(space(), scores, Wanted(ratio=0.95))


def test_for_macs_a_score_counts_by_what_it_saves() -> None:
    scores = [torch.ones(20), torch.ones(20)]
    first, second = across_groups(space(), scores, Wanted(reduction=1.2))
    # A unit of the second is read by 40 outputs, one of the first by 6.
    assert first == 20
    assert second < 20
    with pytest.raises(ModelError, match="macs_reduction 50 cannot be reached"):
        across_groups(space(), scores, Wanted(reduction=50))


def test_counts_are_multiples_and_the_target_is_met_no_further_than_a_step() -> None:
    torch.manual_seed(1)
    here = space(round_to=4)
    for reduction in (1.1, 1.5, 2.0):
        kept = across_groups(here, [torch.rand(20), torch.rand(20)], Wanted(reduction=reduction))
        assert all(k % 4 == 0 for k in kept)
        assert here.macs(kept) * reduction <= here.original_macs


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "fisher", "bn_scale", "loss"])
def test_every_importance_competes(importance: str) -> None:
    model, inputs = build("mobilenet_v2")
    spec = structured(allocation="global", importance=importance, macs_reduction=1.6)
    result = prune(model, spec, 4, context(inputs))
    assert result.after.macs * 1.6 <= result.before.macs
    assert_equals_masked(model, result, inputs)


def test_a_layer_that_matters_is_spared() -> None:
    model, inputs = toy()
    with torch.no_grad():
        wanted = torch.randn(64, 4)
        model[0].weight *= 0.01
        model[0].bias.zero_()
        model[4].bias.fill_(2.0)

    def loss(m: nn.Module) -> Tensor:
        return (m(wanted) - 1).square().mean()

    spec = structured(
        allocation="global", importance="fisher", pruning_ratio=0.4, ignored_layers=("2",)
    )
    result = prune(model, spec, 2, replace(context(inputs), loss=loss))
    after = {row.name: row.channels_after for row in result.layers}
    # Of the first layer hardly anything reaches the outputs.
    assert after["0"] == 4
    assert after["4"] == 20


def test_magnitudes_are_compared_with_the_mean_of_their_group() -> None:
    same = [torch.rand(8), torch.rand(8)]
    one, other = importance.comparable([same[0], same[0] * 50], "magnitude", [1, 1], lambda: 0.0)
    torch.testing.assert_close(one, other)
    for kind in ("taylor", "fisher"):
        raw = importance.comparable(same, kind, [1, 1], lambda: 0.0)
        assert all(torch.equal(a, b) for a, b in zip(raw, same, strict=True))
    (loss,) = importance.comparable([torch.tensor([3.0, 5.0])], "loss", [2], lambda: 2.0)
    assert loss.tolist() == [0.5, 1.5]
