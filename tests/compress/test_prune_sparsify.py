"""Unstructured pruning: exact sparsity, per layer and global, and zeros that stay."""

import pytest
import torch
from prune_checks import context
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from zoo.catalogue import build

from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prune import Pruned, prune
from edgecompress.compress.sparsify import apply_masks
from edgecompress.errors import ModelError, SpecError
from edgecompress.spec.deploy import UnstructuredPruneSpec


def unstructured(**changes: object) -> UnstructuredPruneSpec:
    return UnstructuredPruneSpec.model_validate(
        {"method": "unstructured", "scope": "layer", **changes}
    )


def sparsify(name: str, **changes: object) -> tuple[nn.Module, Pruned]:
    model, inputs = build(name)
    return model, prune(model, unstructured(**changes), 8, context(inputs))


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: module.weight.detach()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def test_threshold_is_strict() -> None:
    model, result = sparsify("flatten_linear", threshold=0.03)
    for name, weight in weights(result.model).items():
        original = weights(model)[name]
        assert torch.equal(weight, torch.where(original.abs() > 0.03, original, 0.0))
        assert (weight == 0).any()
    assert result.plan.thresholds == {"0": 0.03, "4": 0.03, "6": 0.03}


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_sparsity_in_every_layer(sparsity: float) -> None:
    _, result = sparsify("mobilenet_v2", sparsity=sparsity)
    for weight in weights(result.model).values():
        assert int((weight == 0).sum()) == round(sparsity * weight.numel())


def test_sparsity_over_all_layers() -> None:
    model, result = sparsify("mobilenet_v2", sparsity=0.6, scope="global")
    every = torch.cat([weight.flatten() for weight in weights(result.model).values()])
    assert int((every == 0).sum()) == round(0.6 * every.numel())
    shares = {round(float((w == 0).float().mean()), 2) for w in weights(result.model).values()}
    assert len(shares) > 3
    assert len(set(result.plan.thresholds.values())) == 1
    original = torch.cat([weight.flatten().abs() for weight in weights(model).values()])
    assert original[every == 0].max() < original[every != 0].min()


def test_named_thresholds_touch_nothing_else() -> None:
    model, result = sparsify("flatten_linear", threshold={"4": 0.02})
    assert list(result.masks) == ["4"]
    assert torch.equal(result.model[0].weight, model[0].weight)
    assert (result.model[4].weight == 0).any()


def test_ignored_layers() -> None:
    _, result = sparsify("resnet_conv_shortcut", sparsity=0.5, ignored_layers=("layer1", "linear"))
    assert not any(name.startswith(("layer1", "linear")) for name in result.masks)
    assert "conv1" in result.masks


def test_zeros_survive_fine_tuning() -> None:
    model, inputs = build("flatten_linear")
    result = prune(model, unstructured(sparsity=0.7), 8, context(inputs))
    optimizer = torch.optim.SGD(result.model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        context(inputs).loss(result.model).backward()
        optimizer.step()
        apply_masks(result.model, result.masks)
    for name, mask in result.masks.items():
        weight = result.model.get_submodule(name).weight
        assert (weight[~mask] == 0).all()
        assert not torch.equal(weight[mask], model.get_submodule(name).weight[mask])


def test_plan_rebuilds_the_zeros() -> None:
    model, result = sparsify("flatten_linear", sparsity=0.5)
    fresh, inputs = build("flatten_linear")
    rebuilt = replay(fresh, PrunePlan.from_json(result.plan.to_json()), inputs)
    for name, weight in weights(rebuilt).items():
        assert torch.equal(weight, weights(result.model)[name])
        assert torch.equal(weights(fresh)[name], weights(model)[name])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"threshold": {"nope": 0.1}}, ModelError, "'nope' is not a layer.*known: 0, 4, 6"),
        ({"threshold": 1e-12}, ModelError, "no weight is small enough"),
        ({"threshold": 100.0}, ModelError, "no longer follow input 0"),
        ({"sparsity": 0.5, "ignored_layers": ("0", "4", "6")}, ModelError, "no convolution"),
        ({"sparsity": 0.5, "ignored_layers": ("9",)}, SpecError, "'9' is not a module"),
    ],
)
def test_refusals(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sparsify("flatten_linear", **changes)


def test_a_weight_that_is_computed_stays_whole() -> None:
    torch.manual_seed(0)
    layers = [weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 4)]
    inputs = (torch.randn(1, 6),)
    result = prune(nn.Sequential(*layers).eval(), unstructured(sparsity=0.5), 8, context(inputs))
    assert list(result.masks) == ["2"]
