"""Learnt scales: their gradients, that they move, and that what was learnt is what ships."""

import pytest
import torch
from quantizing import batch, calibrated
from torch import Tensor, nn
from zoo.catalogue import build

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.fake_quantize import AdjustedFakeQuantize, observers_of
from edgecompress.compress.folding import freeze_statistics
from edgecompress.compress.modes import set_training
from edgecompress.compress.observers import RangeChoice, RangeObserver
from edgecompress.compress.quantize import Prepared, convert, forward
from edgecompress.compress.step_size import learn_scales, settle_scales


def fake(shape: tuple[int, ...], *, per_channel: bool) -> AdjustedFakeQuantize:
    module = AdjustedFakeQuantize(
        observer=RangeObserver,
        dtype=torch.int8 if per_channel else torch.uint8,
        qscheme=torch.per_channel_symmetric if per_channel else torch.per_tensor_affine,
        quant_min=-128 if per_channel else 0,
        quant_max=127 if per_channel else 255,
        ch_axis=1 if per_channel else -1,
        choice=RangeChoice(current=per_channel),
    )
    values = torch.tensor([-40.0, 215.0]).reshape(2, 1, 1).expand(2, *shape[1:])
    sizes = torch.rand(shape[1]) + 0.5 if per_channel else torch.tensor([0.7])
    module(values * sizes.reshape(-1, 1))
    module.enable_observer(False)
    module.learn()
    return module


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_gradient_is_that_of_the_paper(per_channel: bool) -> None:
    torch.manual_seed(0)
    shape = (4, 3, 5)
    module = fake(shape, per_channel=per_channel)
    x = (150 * torch.randn(shape)).requires_grad_()  # some saturate
    slopes = torch.randn(shape)
    got = module(x)
    (got * slopes).sum().backward()
    # The paper's own way to have it: round straight through, and let autograd do the rest.
    scale = module.scale.clone().requires_grad_()
    ours = scale.reshape(1, -1, 1) if per_channel else scale
    zero_point = int(module.zero_point[0])
    assert zero_point == (0 if per_channel else 40)
    low, high = (-127, 127) if per_channel else (0 - zero_point, 255 - zero_point)
    again = x.detach().clone().requires_grad_()
    cut = (again / ours).clamp(low, high)
    expected = (cut + (cut.round() - cut).detach()) * ours
    (expected * slopes).sum().backward()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(x.grad, again.grad)
    count = 4 * 5 if per_channel else 3 * 5  # weights of a channel, numbers of a sample
    assert scale.grad is not None
    assert module.growth is not None
    wanted = scale.grad / scale.detach() / (count * high) ** 0.5
    torch.testing.assert_close(module.growth.grad, wanted.clamp(-1, 1), rtol=1e-4, atol=1e-6)


def trained(prepared: Prepared, steps: int = 4) -> None:
    """A few steps towards other outputs, and what was learnt is settled."""
    graph = prepared.graph
    freeze_statistics(graph)
    learn_scales(prepared)
    set_training(graph, True)
    optimizer = torch.optim.AdamW(graph.parameters(), lr=0.01)
    for seed in range(steps):
        outputs = forward(prepared, batch(prepared.example_inputs, 4, seed))
        optimizer.zero_grad()
        (outputs - 1).square().mean().backward()
        optimizer.step()
    settle_scales(graph)
    set_training(graph, False)
    CalibrationRun(graph).freeze()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("resnet_conv_shortcut", "portable"), ("depthwise_separable", "uint8")],
)
def test_scales_move_and_what_was_learnt_is_what_ships(name: str, wanted: str) -> None:
    torch.manual_seed(0)
    model, inputs = build(name)
    prepared = calibrated(model, inputs, wanted)
    before = [module.scale.clone() for module in observers_of(prepared.graph)]
    trained(prepared)
    after = [module.scale.clone() for module in observers_of(prepared.graph)]
    moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    assert not any("growth" in name for name, _ in prepared.graph.named_parameters())
    x = batch(inputs, 3, seed=9)
    with torch.no_grad():
        ours, theirs = forward(prepared, x), convert(prepared).graph(*x)
    step = float((ours.unique() - ours.unique().roll(1)).abs().min())
    assert ((ours - theirs).abs() > step / 2).float().mean() < 0.02
    again = calibrated(model, inputs, wanted)
    again.graph.load_state_dict(prepared.graph.state_dict())
    CalibrationRun(again.graph).freeze()
    with torch.no_grad():
        assert torch.equal(forward(again, x), ours)


def test_weights_stay_within_their_bits_however_small_their_scale_gets() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    prepared = calibrated(model, (torch.zeros(1, 3, 8, 8),))
    learn_scales(prepared)
    weights = [m for m in observers_of(prepared.graph) if m.activation_post_process.current]
    with torch.no_grad():
        for module in weights:
            assert module.growth is not None
            module.growth.sub_(1.0)  # a third of the step
    settle_scales(prepared.graph)
    integers: list[Tensor] = [weight for _, weight in convert(prepared).weights()]
    assert len(integers) == 1
    assert int(integers[0].abs().max()) == 63


def test_scales_between_0_and_1_stay_and_shared_ones_stay_shared() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.b(self.a(x) + x).sigmoid()
            return y

    prepared = calibrated(Joined(), (torch.zeros(1, 3, 8, 8),), "portable")
    bounded = [m for m in observers_of(prepared.graph) if m.activation_post_process.bounded]
    before = [module.scale.clone() for module in bounded]
    trained(prepared)
    assert bounded
    assert all(torch.equal(m.scale, scale) for m, scale in zip(bounded, before, strict=True))
    names = dict(prepared.graph.named_modules(remove_duplicate=False))
    fakes = [m for m in names.values() if isinstance(m, AdjustedFakeQuantize)]
    assert len(fakes) > len(set(fakes)), "one serves all that meet in the addition"
