"""Every model of the zoo, pruned: what is cut, what is refused, and that nothing is corrupted."""

import pytest
import torch
from prune_checks import assert_equals_masked, context, structured
from torch import Tensor, nn
from torch.nn import functional
from zoo.catalogue import ZOO, build

from edgecompress.compress.macs import count
from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prune import Pruned, prune
from edgecompress.task.base import tensors_of

HALF = structured(pruning_ratio=0.5)

INSIDE_BLOCKS = {f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)}

CUT = {
    "resnet20": INSIDE_BLOCKS,
    "resnet_conv_shortcut": {
        "conv1",
        *(f"layer{stage}.0.conv{i}" for stage in (1, 2, 3) for i in (1, 2)),
        *(f"layer{stage}.0.shortcut.0" for stage in (2, 3)),
    },
    "depthwise_separable": {"0", "3", "6"},
    "mobilenet_v2": {
        *("0", "3.body.0", "3.body.3", "3.body.6"),
        *("4.body.0", "4.body.3", "4.body.6", "5.body.0", "5.body.3", "5.body.6"),
    },
    "mobilenet_v3": {"0", "3", "6", "9.down", "9.up", "10"},
    "channel_shuffle": {"0", "8", "11"},
    "grouped_conv": {"0", "3", "6"},
    "densenet": {"stem", "convs.0", "convs.1", "depthwise"},
    "decoder": {"down", "up"},
    "conv1d": {"0", "3"},
    "flatten_linear": {"0", "4"},
    "two_inputs": {"image", "vector", "merge"},
    "transformer": {"fc1"},
    "recurrent": {"fc1"},
    "lstm": {"fc1"},
    "text": {"encoder.linear1"},
    "shared_module": {"free"},
    "tied_weights": {"hidden"},
    "functional_weight": {"stem"},
    "gated": {"conv", "mix"},
    "channel_softmax": {"plain"},
    "layer_norm": {"3"},
}

REFUSED = {
    "resnet20": ("layer2.0.conv2", "forward() depends on their number"),
    "channel_shuffle": ("3", "not the same as masking"),
    "transformer": ("patches", "LayerNorm"),
    "recurrent": ("gru", "no group"),
    "lstm": ("fc_in", "LSTM 'lstm' is kept whole"),
    "text": ("embed", "LayerNorm"),
    "shared_module": ("twice", "used more than once"),
    "tied_weights": ("encode", "used more than once, or shares its weights"),
    "functional_weight": ("conv", "used by a function"),
    "channel_softmax": ("mixed", "not the same as masking"),
    "two_inputs": ("scores", "they are an output"),
}


@pytest.fixture(scope="module", params=list(ZOO))
def case(request: pytest.FixtureRequest) -> tuple[str, nn.Module, tuple[Tensor, ...], Pruned]:
    model, example_inputs = build(request.param)
    return request.param, model, example_inputs, prune(model, HALF, 8, context(example_inputs))


def test_pruned_equals_masked(case) -> None:
    _, model, example_inputs, result = case
    torch.manual_seed(3)
    batch = tuple(
        torch.randn(2, *x.shape[1:]) if x.is_floating_point() else x.flip(1).repeat(2, 1)
        for x in example_inputs
    )
    for inputs in (example_inputs, batch):
        assert_equals_masked(model, result, inputs)


def test_cuts_what_can_be_cut_and_rounds(case) -> None:
    name, _, _, result = case
    cut = {row.name for row in result.layers if row.channels_after < row.channels_before}
    assert cut == CUT[name]
    for row in result.layers:
        if row.name in cut:
            assert row.channels_after % 8 == 0
            assert row.channels_after > 0
            assert row.reason is None
        else:
            assert row.channels_after == row.channels_before
            assert row.reason
            assert "\n" not in row.reason


def test_says_why_a_layer_is_kept(case) -> None:
    name, _, _, result = case
    reasons = {row.name: row.reason for row in result.layers}
    if name in REFUSED:
        layer, why = REFUSED[name]
        assert why in (reasons[layer] or "")


def test_is_really_smaller(case) -> None:
    _, model, example_inputs, result = case
    assert result.before == count(model, example_inputs)
    assert result.after == count(result.model, example_inputs)
    assert result.after.macs < result.before.macs
    assert result.after.params < result.before.params


def test_original_is_untouched(case) -> None:
    name, model, _, _ = case
    fresh, _ = build(name)
    for (key, one), (_, other) in zip(
        model.state_dict().items(), fresh.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), key
    assert all(parameter.grad is None for parameter in model.parameters())


def test_plan_rebuilds_the_model(case) -> None:
    name, _, example_inputs, result = case
    fresh, _ = build(name)
    plan = PrunePlan.from_json(result.plan.to_json())
    assert plan == result.plan
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.add_(1.0)
    rebuilt = replay(fresh, plan, example_inputs)
    rebuilt.load_state_dict(result.model.state_dict())
    with torch.no_grad():
        outputs = zip(
            tensors_of(rebuilt(*example_inputs)),
            tensors_of(result.model(*example_inputs)),
            strict=True,
        )
        assert all(torch.equal(one, other) for one, other in outputs)


def test_result_is_plain_and_exports(case) -> None:
    _, _, example_inputs, result = case
    for module in result.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not nn.utils.parametrize.is_parametrized(module)
    exported = torch.export.export(result.model, example_inputs).module()
    with torch.no_grad():
        for one, other in zip(
            tensors_of(exported(*example_inputs)),
            tensors_of(result.model(*example_inputs)),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_pruned_model_still_trains(case) -> None:
    _, _, example_inputs, result = case
    replica = replay(build(case[0])[0], result.plan, example_inputs).train()
    inputs = tuple(torch.cat([x, x + 1]) if x.is_floating_point() else x for x in example_inputs)
    loss = sum(functional.mse_loss(o, torch.ones_like(o)) for o in tensors_of(replica(*inputs)))
    assert isinstance(loss, Tensor)
    loss.backward()
    missing = [n for n, p in replica.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
