"""Which channels go: each importance finds the ones planted as worthless."""

from dataclasses import replace

import pytest
import torch
from prune_checks import context, structured
from torch import Tensor, nn
from zoo.catalogue import build

from edgecompress.compress.importance import scores
from edgecompress.compress.prunable import prunable
from edgecompress.compress.prune import group_sparsity, prune
from edgecompress.errors import ModelError

WORTHLESS = [1, 2, 5, 8, 9, 11, 14, 15]


def net() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 6, 3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 16, 4)).eval(), (
        torch.randn(1, 3, 8, 8),
    )


def removed_by(model: nn.Module, inputs: tuple[Tensor, ...], importance: str) -> list[int]:
    calibration = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    wanted = model(calibration).detach()

    def loss(m: nn.Module) -> Tensor:
        # Not at its minimum, where all gradients are zero.
        return (
            (m(calibration) - wanted + (0.1 if importance in ("taylor", "fisher") else 0))
            .square()
            .mean()
        )

    ctx = replace(context(inputs), loss=loss)
    spec = structured(pruning_ratio={"0": 0.5}, importance=importance)
    (step,) = prune(model, spec, 4, ctx).plan.steps
    return next(list(cut.removed) for cut in step if (cut.layer, cut.side) == ("0", "out"))


def test_magnitude_counts_all_layers_of_the_group() -> None:
    model, inputs = net()
    with torch.no_grad():
        for i in WORTHLESS:
            model[0].weight[i] *= 0.05
            model[1].weight[i] *= 0.05
            model[3].weight[:, i] *= 0.05
    assert removed_by(model, inputs, "magnitude") == WORTHLESS


def test_fisher_reads_what_a_layer_is_given_by_name() -> None:
    class Named(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.inner(input=x)
            return found

    model, inputs = net()
    plain = removed_by(model, inputs, "fisher")
    model[3] = Named(model[3])
    assert removed_by(model, inputs, "fisher") == plain


def test_bn_scale() -> None:
    model, inputs = net()
    with torch.no_grad():
        model[0].weight[WORTHLESS] *= 50
        model[1].weight[WORTHLESS] = -0.01
    assert removed_by(model, inputs, "bn_scale") == WORTHLESS


def test_bn_scale_without_batch_norm_is_magnitude() -> None:
    model, inputs = build("flatten_linear")
    groups = prunable(model, inputs, 8).groups
    loss = context(inputs).loss
    by_scale = scores(model, groups, "bn_scale", loss, lambda g: 1)
    by_size = scores(model, groups, "magnitude", loss, lambda g: 1)
    assert all(torch.equal(a, b) for a, b in zip(by_scale, by_size, strict=True))


@pytest.mark.parametrize("importance", ["taylor", "fisher", "loss"])
def test_effect_on_the_loss(importance: str) -> None:
    model, inputs = net()
    with torch.no_grad():
        # Large weights that do nothing: their channels are cut off by ReLU.
        model[0].weight[WORTHLESS] *= 20
        model[1].bias[WORTHLESS] = -1000
        model[3].weight[:, WORTHLESS] *= 20
    groups = prunable(model, inputs, 4).groups
    sizes = scores(model, groups, "magnitude", context(inputs).loss, lambda g: 1)[0]
    assert set(sizes.argsort().tolist()[8:]) == set(WORTHLESS)
    assert removed_by(model, inputs, importance) == WORTHLESS


def test_taylor_by_hand() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8, bias=False), nn.Linear(8, 1, bias=False))
    inputs = (torch.randn(1, 2),)
    groups = prunable(model, inputs, 1).groups
    (score,) = scores(model, groups, "taylor", lambda m: m(*inputs).sum(), lambda g: 1)
    first, second, x = model[0].weight, model[1].weight[0], inputs[0][0]
    want = (first * second[:, None] * x).abs().sum(1) + (second * (first @ x)).abs()
    torch.testing.assert_close(score, want.detach())


def test_fisher_by_hand() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    batches = [(torch.randn(4, 2), torch.tensor([0, 1, 2, 0])) for _ in range(2)]
    groups = prunable(model, (batches[0][0][:1],), 1).groups

    def loss(m: nn.Module) -> Tensor:
        return torch.stack([nn.functional.cross_entropy(m(x), y) for x, y in batches]).mean()

    (score,) = scores(model, groups, "fisher", loss, lambda g: 1)
    want = torch.zeros(8)
    for x, y in batches:
        hidden = model[1](model[0](x))
        probabilities = model[2](hidden).softmax(1)
        # d loss / d mask = activation x (its column of weights . (softmax - target))
        error = probabilities - nn.functional.one_hot(y, 3)
        want += (hidden * (error @ model[2].weight)).square().sum(0).detach() / 16
    torch.testing.assert_close(score, want)
    assert all(p.grad is None for p in model.parameters())


def test_fisher_foretells_the_loss_of_a_mask_in_the_mean() -> None:
    """Near a minimum, which a model that fits its own answers is at."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)).eval()
    x = torch.randn(30_000, 6)
    y = torch.distributions.Categorical(logits=model(x).detach()).sample()
    groups = prunable(model, (x[:1],), 1).groups

    def loss(m: nn.Module) -> Tensor:
        return nn.functional.cross_entropy(m(x), y)

    (expected,) = scores(model, groups, "fisher", loss, lambda g: 1)
    (found,) = scores(model, groups, "loss", loss, lambda g: 1)
    found = found - loss(model).detach()
    # Fewer samples would have more noise in the measured loss than there is effect.
    assert torch.corrcoef(torch.stack([expected, found]))[0, 1] > 0.9
    assert 0.9 < float(expected.sum() / found.sum()) < 1.2


def test_a_loss_without_gradients_is_the_tasks() -> None:
    model, inputs = build("flatten_linear")
    ctx = replace(context(inputs), loss=lambda m: m(*inputs).detach().sum())
    for importance in ("taylor", "fisher"):
        with pytest.raises(ModelError, match="does not depend on the weights"):
            prune(model, structured(pruning_ratio=0.5, importance=importance), 8, ctx)


def test_taylor_leaves_no_trace() -> None:
    model, inputs = build("flatten_linear")
    model[0].requires_grad_(False)
    groups = prunable(model, inputs, 8).groups
    scores(model, groups, "taylor", context(inputs).loss, lambda g: 1)
    assert all(p.grad is None for p in model.parameters())
    assert [p.requires_grad for p in model[0].parameters()] == [False, False]


@pytest.mark.parametrize("importance", ["taylor", "fisher", "loss"])
def test_loss_that_is_not_a_number(importance: str) -> None:
    model, inputs = build("flatten_linear")
    ctx = replace(context(inputs), loss=lambda m: m(*inputs).sum() * float("nan"))
    with pytest.raises(ModelError, match="loss on the calibration data is nan"):
        prune(model, structured(pruning_ratio=0.5, importance=importance), 8, ctx)


def test_units_of_grouped_convolutions_and_gates_are_scored() -> None:
    for name in ("grouped_conv", "gated", "densenet", "decoder", "conv1d"):
        model, inputs = build(name)
        for group in prunable(model, inputs, 8).groups:
            (score,) = scores(model, [group], "magnitude", context(inputs).loss, lambda g: 1)
            assert score.shape == (len(group.units),)
            assert (score > 0).all()


def test_group_sparsity_by_hand() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    penalty = group_sparsity(model, (torch.randn(1, 3),), 1).penalty()
    weight, bias_free = model[0].weight, model[2].weight
    norms = (weight.square().sum(1) + bias_free.square().sum(0)).sqrt()
    torch.testing.assert_close(penalty, norms.sum())


def test_group_sparsity_empties_whole_channels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3))
    x, target = torch.randn(16, 2, 6, 6), torch.randn(16, 3, 2, 2) * 0.1
    sparsity = group_sparsity(model, (x[:1],), 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), target) + 0.05 * sparsity.penalty()
        loss.backward()
        optimizer.step()
    sizes = model[0].weight.square().sum((1, 2, 3)) + model[2].weight.square().sum((0, 2, 3))
    # Steps of a fixed length end around zero, not on it.
    assert (sizes < 1e-3).sum() >= 4
    assert model[0].weight.isfinite().all()


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "fisher"])
def test_one_number_for_all_channels_is_in_no_group(importance: str) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))
            self.slope = nn.Parameter(torch.full((1, 1, 1, 1), 0.5))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gain + x.abs() * self.slope

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.PReLU(), nn.Conv2d(16, 8, 3), Scaled(), nn.Conv2d(8, 4, 3)]
    model, inputs = nn.Sequential(*layers).eval(), (torch.randn(1, 3, 8, 8),)
    result = prune(model, structured(pruning_ratio=0.5, importance=importance), 4, context(inputs))
    assert [layer.channels_after for layer in result.layers] == [8, 4, 4]
