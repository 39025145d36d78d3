"""How much goes, where, and in how many steps."""

from dataclasses import replace

import pytest
import torch
from prune_checks import context, structured
from torch import nn
from zoo.catalogue import build

from edgecompress.compress.allocate import (
    Bound,
    Sensitivity,
    Space,
    cheapest,
    uniform_within,
    whole,
)
from edgecompress.compress.macs import count
from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prunable import prunable
from edgecompress.compress.prune import Pruned, prune
from edgecompress.errors import ModelError, SpecError


def widths(result: Pruned) -> dict[str, int]:
    return {row.name: row.channels_after for row in result.layers}


def test_uniform_ratio_removes_no_more_than_asked() -> None:
    model, inputs = build("resnet20")
    result = prune(model, structured(pruning_ratio=0.4), 8, context(inputs))
    # 60 % of 16, 32 and 64 channels, rounded up to multiples of 8.
    assert widths(result)["layer1.0.conv1"] == 16
    assert widths(result)["layer2.0.conv1"] == 24
    assert widths(result)["layer3.0.conv1"] == 40
    kept = next(row for row in result.layers if row.name == "layer1.0.conv1")
    assert kept.reason == "the target is met without it, in steps of round_to 8"


def test_halving_inside_the_blocks_of_resnet20_by_hand() -> None:
    model, inputs = build("resnet20")
    result = prune(model, structured(pruning_ratio=0.5), 8, context(inputs))
    # Everything but the stem (16 x 3 x 9 at 32 x 32) and the classifier (64 x 10) halves.
    fixed = 1024 * 16 * 3 * 9 + 640
    assert result.after.macs == fixed + (result.before.macs - fixed) // 2
    assert 1.97 < result.before.macs / result.after.macs < 1.99


@pytest.mark.parametrize("allocation", ["uniform", "sensitivity"])
def test_resnet20_reaches_twice_fewer_macs(allocation: str) -> None:
    model, inputs = build("resnet20")
    spec = structured(macs_reduction=2.0, allocation=allocation)
    result = prune(model, spec, 8, context(inputs))
    assert count(result.model, inputs).macs * 2 <= 40_551_040
    assert all(width % 8 == 0 for name, width in widths(result).items() if name != "linear")
    whole = [row for row in result.layers if row.name.endswith("conv2") or row.name == "conv1"]
    assert len(whole) == 10
    assert all("forward() depends on their number" in (row.reason or "") for row in whole)


@pytest.mark.parametrize("reduction", [1.25, 1.5, 2.5, 3.0])
def test_uniform_goes_no_further_than_asked(reduction: float) -> None:
    # Layers of 16 channels lose half of them or none: all at one share would end at 4.0, not 1.5.
    model, inputs = build("resnet20")
    result = prune(model, structured(macs_reduction=reduction), 8, context(inputs))
    assert reduction <= result.before.macs / result.after.macs < 1.05 * reduction


def toy() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Two equal hidden layers; the score below cares for the second far more."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(32, 4)), (torch.randn(1, 8),)


def precious_second(model: nn.Module) -> float:
    """Rises with every hidden channel: 100 times faster in '4'."""
    return float(model[2].in_features + 100 * model[6].in_features)


def test_sensitivity_removes_where_it_hurts_least() -> None:
    model, inputs = toy()
    spec = structured(pruning_ratio=0.3, allocation="sensitivity", ignored_layers=("2",))
    result = prune(model, spec, 4, replace(context(inputs), score=lambda _: precious_second))
    # 30 % of 64 channels is 19.2, in steps of 4: all from the first.
    assert widths(result) == {"0": 12, "2": 8, "4": 32, "6": 4}


def test_sensitivity_gives_back_what_the_target_does_not_need() -> None:
    model, inputs = toy()
    spec = structured(macs_reduction=1.9, allocation="sensitivity", ignored_layers=("2",))
    result = prune(model, spec, 4, replace(context(inputs), score=lambda _: precious_second))
    after = widths(result)
    assert result.after.macs * 1.9 <= result.before.macs
    assert after["0"] == 4
    with_one_more = result.after.macs + 4 * (8 + 4)
    assert with_one_more * 1.9 > result.before.macs


def test_named_ratios() -> None:
    model, inputs = build("resnet_conv_shortcut")
    ratios = {"layer3.0.conv1": 0.5, "layer2.0.shortcut.0": 0.25}
    result = prune(model, structured(pruning_ratio=ratios), 8, context(inputs))
    cut = {r.name: r.channels_after for r in result.layers if r.channels_after < r.channels_before}
    # The shortcut is added to conv2's output, so both lose the same channels.
    assert cut == {"layer3.0.conv1": 32, "layer2.0.shortcut.0": 24, "layer2.0.conv2": 24}


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"nope": 0.5}, "'nope' cannot be pruned: it is not a layer.*prunable: conv1"),
        ({"linear": 0.5}, "'linear' cannot be pruned: no layer reads its channels"),
        (
            {"layer2.0.conv2": 0.5, "layer2.0.shortcut.0": 0.25},
            "lose the same channels; give them the same ratio",
        ),
    ],
)
def test_named_ratios_that_cannot_be(ratios: dict[str, float], message: str) -> None:
    model, inputs = build("resnet_conv_shortcut")
    with pytest.raises(ModelError, match=message):
        prune(model, structured(pruning_ratio=ratios), 8, context(inputs))


@pytest.mark.parametrize("allocation", ["uniform", "sensitivity"])
def test_unreachable_reduction_says_what_is_possible(allocation: str) -> None:
    model, inputs = build("transformer")
    spec = structured(macs_reduction=5.0, allocation=allocation)
    with pytest.raises(ModelError, match=r"macs_reduction 5.0 cannot be reached.*at most 1\.\d\d"):
        prune(model, spec, 8, context(inputs))


def test_unreachable_ratio() -> None:
    model, inputs = build("transformer")
    spec = structured(pruning_ratio=0.9, allocation="sensitivity")
    with pytest.raises(ModelError, match=r"pruning_ratio 0\.9 cannot be reached.*at most 0\.75;"):
        prune(model, spec, 8, context(inputs))


def test_ratio_too_small_for_one_step() -> None:
    model, inputs = build("transformer")
    with pytest.raises(ModelError, match="removes nothing"):
        prune(model, structured(pruning_ratio=0.1), 8, context(inputs))


def test_steps_finetune_between_and_end_where_one_step_does() -> None:
    model, inputs = build("mobilenet_v2")
    seen: list[tuple[int, int]] = []

    def finetune(current: nn.Module, step: int) -> None:
        seen.append((step, count(current, inputs).macs))
        with torch.no_grad():
            for parameter in current.parameters():
                parameter.mul_(1.01)

    spec = structured(pruning_ratio=0.5, steps=3)
    result = prune(model, spec, 4, replace(context(inputs), finetune=finetune))
    once = prune(model, structured(pruning_ratio=0.5), 4, context(inputs))
    assert widths(result) == widths(once)
    assert [step for step, _ in seen] == [1, 2]
    assert result.before.macs > seen[0][1] > seen[1][1] > result.after.macs
    assert len(result.plan.steps) == 3
    rebuilt = replay(model, PrunePlan.from_json(result.plan.to_json()), inputs)
    rebuilt.load_state_dict(result.model.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(*inputs), result.model(*inputs))


def test_each_step_ranks_the_weights_that_fine_tuning_left() -> None:
    model, inputs = toy()
    with torch.no_grad():
        model[0].weight.abs_().clamp_min_(0.5)
        model[0].weight[[1, 2, 3, 4]] *= 0.01
        model[2].weight[:, [1, 2, 3, 4]] *= 0.01

    def finetune(current: nn.Module, step: int) -> None:
        with torch.no_grad():
            # What was 24..27 before the first step: worthless only now.
            for i in range(20, 24):
                current[0].weight[i] *= 0.01
                current[2].weight[:, i] *= 0.01

    spec = structured(pruning_ratio={"0": 0.25}, steps=2)
    result = prune(model, spec, 4, replace(context(inputs), finetune=finetune))
    removed = [
        next(cut.removed for cut in step if (cut.layer, cut.side) == ("0", "out"))
        for step in result.plan.steps
    ]
    assert removed == [(1, 2, 3, 4), (20, 21, 22, 23)]
    assert widths(result)["0"] == 24


def test_same_plan_twice() -> None:
    model, inputs = build("mobilenet_v3")
    spec = structured(macs_reduction=1.5, allocation="sensitivity", importance="loss")
    plans = [prune(model, spec, 8, context(inputs)).plan for _ in range(2)]
    assert plans[0] == plans[1]


def test_replay_on_another_model_is_refused() -> None:
    model, inputs = build("mobilenet_v3")
    plan = prune(model, structured(pruning_ratio=0.5), 8, context(inputs)).plan
    other, other_inputs = build("flatten_linear")
    with pytest.raises(ModelError, match="not the one that was pruned"):
        replay(other, plan, other_inputs)


@pytest.mark.parametrize("text", ["{", "[]", '{"method": "structured", "more": 1}'])
def test_plan_that_is_none(text: str) -> None:
    with pytest.raises(SpecError, match="prune plan"):
        PrunePlan.from_json(text)


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_a_shape_keeps_its_bound_and_nothing_more_can_be_given_back(share: float) -> None:
    """Whatever the bound is of."""
    model, inputs = toy()
    cost = count(model, inputs)
    space = Space.of(model, prunable(model, inputs, 4).groups, 4, cost, cost.macs)
    alone = [{level: 1.0 - level / 32 for level in space.levels(i)} for i in range(3)]
    for bound in (
        Bound(space.macs, share * cost.macs),
        Bound(sum, share * sum(whole(space))),
        Bound(lambda kept: 1.0 + 0.1 * kept[0] + 0.01 * kept[2], 1.0 + share * 3.52),
    ):
        for kept in (uniform_within(space, bound), cheapest(space, Sensitivity(alone), bound)):
            assert bound.is_kept(kept)
            for i, now in enumerate(kept):
                more = [level for level in space.levels(i) if level > now]
                assert not more or not bound.is_kept([*kept[:i], more[-1], *kept[i + 1 :]])
