"""prepare, calibrate, train, convert: the graph, its scales, and what is refused."""

import io
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from quantizing import batch, built, calibrated, scheme
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional
from zoo.catalogue import build

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.modes import set_training
from edgecompress.compress.observers import Ranges
from edgecompress.compress.quantize import (
    Prepared,
    calibrate,
    convert,
    forward,
    prepare,
    run_batch,
)
from edgecompress.errors import ModelError

UINT8 = scheme("uint8")


def ranges_of(prepared: Prepared) -> list[tuple[Tensor, Tensor]]:
    observers = [fake.activation_post_process for fake in observers_of(prepared.graph)]
    return [(o.min_val.clone(), o.max_val.clone()) for o in observers]


def placeholder(prepared: Prepared) -> Node:
    return next(node for node in prepared.graph.graph.nodes if node.op == "placeholder")


def moved(before: list[tuple[Tensor, Tensor]], after: list[tuple[Tensor, Tensor]]) -> int:
    pairs = zip(before, after, strict=True)
    return sum(not all(map(torch.equal, one, other)) for one, other in pairs)


def train_step(prepared: Prepared, inputs: tuple[Tensor, ...]) -> float:
    set_training(prepared.graph, True)
    optimizer = torch.optim.SGD(prepared.graph.parameters(), lr=0.05)
    optimizer.zero_grad()
    target = torch.arange(len(inputs[0])) % 10
    loss = functional.cross_entropy(forward(prepared, inputs), target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in prepared.graph.parameters())
    assert all(p.grad.isfinite().all() for p in prepared.graph.parameters() if p.grad is not None)
    optimizer.step()
    set_training(prepared.graph, False)
    return float(loss.detach())


def test_training_moves_weights_and_ranges_and_lowers_the_loss() -> None:
    model, inputs = build("mobilenet_v2")
    prepared = calibrated(model, inputs)
    CalibrationRun(prepared.graph).follow()
    weights = {name: p.detach().clone() for name, p in prepared.graph.named_parameters()}
    ranges = ranges_of(prepared)
    x = batch(inputs, 10, seed=4)
    losses = [train_step(prepared, x) for _ in range(8)]
    same = [n for n, p in prepared.graph.named_parameters() if torch.equal(p, weights[n])]
    assert same == []
    assert moved(ranges, ranges_of(prepared)) > len(ranges) * 0.9
    assert losses[-1] < losses[0]


def test_validation_moves_nothing() -> None:
    model, inputs = build("mobilenet_v2")
    prepared = calibrated(model, inputs)
    CalibrationRun(prepared.graph).follow()
    train_step(prepared, batch(inputs, 4, seed=4))
    forward(prepared, batch(inputs, 4, seed=5))  # weights' ranges catch up with the weights
    state = {name: value.clone() for name, value in prepared.graph.state_dict().items()}
    big = tuple(100 * x for x in batch(inputs, 4, seed=6))
    forward(prepared, big)
    for name, value in prepared.graph.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_frozen_ranges_stay_while_weights_follow_themselves() -> None:
    model, inputs = build("mobilenet_v2")
    prepared = calibrated(model, inputs)
    CalibrationRun(prepared.graph).freeze()
    before = ranges_of(prepared)
    train_step(prepared, batch(inputs, 4, seed=4))
    forward(prepared, inputs)
    changed = moved(before, ranges_of(prepared))
    weights = sum(fake.activation_post_process.current for fake in observers_of(prepared.graph))
    assert 0 < changed <= weights


@pytest.mark.parametrize("wanted", ["uint8", "per tensor", "powers of two", "int8 symmetric"])
def test_state_dict_rebuilds_the_same_quantised_model(wanted: str) -> None:
    model, inputs = build("mobilenet_v3")
    prepared = calibrated(model, inputs, wanted)
    CalibrationRun(prepared.graph).follow()
    train_step(prepared, batch(inputs, 4, seed=4))
    file = io.BytesIO()
    torch.save(prepared.graph.state_dict(), file)
    file.seek(0)
    fresh = prepare(build("mobilenet_v3")[0], inputs, scheme(wanted), "minmax")
    fresh.graph.load_state_dict(torch.load(file, weights_only=True))
    x = batch(inputs, 3, seed=8)
    with torch.no_grad():
        assert torch.equal(convert(prepared).graph(*x), convert(fresh).graph(*x))


def test_converting_twice_gives_the_same() -> None:
    model, inputs = build("mobilenet_v3")
    prepared = calibrated(model, inputs)
    x = batch(inputs, 3, seed=8)
    with torch.no_grad():
        assert torch.equal(convert(prepared).graph(*x), convert(prepared).graph(*x))


def test_float_weights_are_those_that_their_integers_stand_for() -> None:
    # Else who divides by the scale in another way than torch breaks ties in another way.
    prepared = calibrated(*build("linear_stack"), "portable")
    graph = convert(prepared, integers=False).graph
    seen = 0
    for node in graph.graph.nodes:
        if "dequantize_per_channel" in str(node.target) and isinstance(node.args[0], Node):
            weight = attrgetter(str(node.args[0].args[0].target))(graph)
            scales = attrgetter(str(node.args[1].target))(graph)
            ratio = weight / scales[:, None]
            assert torch.allclose(ratio, ratio.round(), atol=1e-4)
            seen += 1
    assert seen > 1


def test_model_is_left_as_it_was() -> None:
    model, inputs = build("mobilenet_v2")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    prepared = calibrated(model, inputs)
    train_step(prepared, batch(inputs, 4, seed=4))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "kept"),
    [("mobilenet_v2", "3.body.0"), ("mobilenet_v2", "3"), ("text", "encoder.self_attn")],
)
def test_keep_float_keeps_that_and_nothing_else(model: str, kept: str, tmp_path: Path) -> None:
    network, inputs = build(model)
    file = built(network, inputs, tmp_path, keep_float=(kept,))
    layers = [op for op in file.inspection.ops if op.macs and op.module]
    floats = {op.module for op in layers if op.dtype != "int8"}
    assert floats
    assert all(name == kept or name.startswith(f"{kept}.") for name in floats if name)
    inside = [
        op for op in layers if op.module and (op.module == kept or op.module.startswith(f"{kept}."))
    ]
    assert all(op.dtype == "float32" for op in inside)
    assert {op.reason for op in inside} == {"kept in float by the recipe"}


def test_an_operator_that_is_kept_is_named_in_the_file(tmp_path: Path) -> None:
    """It has the path of its parent only; its neighbours go with it, or it would be fused again."""
    network, inputs = build("residual")
    file = built(network, inputs, tmp_path, keep_float=(":add", "head.0"))
    floats = {op.op_type: op.reason for op in file.inspection.ops if op.op_type in ("Add", "Conv")}
    assert floats == {"Add": "kept in float by the recipe"}
    assert all(op.module is None or ":" not in op.module for op in file.inspection.ops)


def test_a_mask_costs_no_accuracy() -> None:
    """-inf within a range would leave no steps for the scores."""
    model, inputs = build("masked_attention")
    converted = convert(calibrated(model, inputs))
    x = batch(inputs, 3, seed=8)
    with torch.no_grad():
        ours, original = converted.graph(*x), model(*x)
    assert (ours - original).abs().max() < 0.15 * original.abs().max()


def test_fixed_batch_is_run_sample_by_sample() -> None:
    model, inputs = build("fixed_batch")
    prepared = calibrated(model, inputs)
    assert not prepared.free_batch
    x = batch(inputs, 3, seed=8)
    with torch.no_grad():
        together = forward(prepared, x)
        alone = [forward(prepared, (x[0][i : i + 1],)) for i in range(3)]
    assert torch.equal(together, torch.cat(alone))


def test_results_of_any_shape_are_joined() -> None:
    model, inputs = build("dict_output")
    x = batch(inputs, 3, seed=8)
    with torch.no_grad():
        joined, together = run_batch(model, x, free_batch=False), model(*x)
    assert joined.keys() == together.keys()
    for name in joined:
        torch.testing.assert_close(joined[name], together[name])


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if x.sum() > 0 else x


REFUSED = {
    "control flow": (Branching(), ()),
    "no such module": (nn.Sequential(nn.Linear(4, 4)), ("head",)),
    "all in float": (nn.Sequential(nn.Linear(4, 4)), ("0",)),
    "nothing to quantise": (nn.Sequential(nn.Tanh()), ()),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_refuses_in_one_line(case: str) -> None:
    model, keep_float = REFUSED[case]
    with pytest.raises(ModelError) as caught:
        prepare(model, (torch.randn(1, 4),), UINT8, "minmax", keep_float)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert type(model).__name__ in message
    assert "Traceback" not in message


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_tensors_that_share_a_scale_share_the_widest_range(ranges: Ranges) -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.wide = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.narrow(x), self.wide(x)], 1)

    torch.manual_seed(0)
    model = Joined()
    with torch.no_grad():
        model.wide.weight.mul_(50)
    inputs = (torch.randn(1, 3, 16, 16),)
    prepared = prepare(model, inputs, UINT8, ranges)
    batches = [batch(inputs, 4, seed) for seed in range(3)]
    calibrate(prepared, [(x, None) for x in batches])
    with torch.no_grad():
        outputs = torch.cat([model(*x) for x in batches])
        got = torch.cat([convert(prepared).graph(*x) for x in batches])
    spread = outputs.max() - outputs.min()
    assert (got - outputs).abs().mean() < 0.01 * spread
    assert (got.max() - got.min()) > 0.7 * spread
    run = CalibrationRun(prepared.graph)
    for enter in (run.follow, run.freeze):
        enter()
        set_training(prepared.graph, True)
        for _ in range(200):
            prepared.graph(*batches[0])
    set_training(prepared.graph, False)
    with torch.no_grad():
        after = prepared.graph(*batches[0])
    assert (after.max() - after.min()) > 0.7 * spread


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_calibration_sees_every_batch_and_not_the_example(ranges: Ranges) -> None:
    model, inputs = build("flatten_linear")
    prepared = prepare(model, tuple(100 * x for x in inputs), UINT8, ranges)
    batches = [batch(inputs, 2, seed) for seed in range(3)]
    seen: list[int] = []
    calibrate(prepared, [(x, None) for x in batches], lambda: seen.append(1))
    assert len(seen) == 3
    low, high = torch.cat([x[0] for x in batches]).aminmax()
    of_input = getattr(prepared.graph, str(next(iter(placeholder(prepared).users)).target))
    first = of_input.activation_post_process
    assert first.min_val.item() == pytest.approx(low.item(), rel=0.01)
    assert first.max_val.item() == pytest.approx(high.item(), rel=0.01)
    assert of_input.scale.item() == pytest.approx((high - low).item() / 255, rel=0.01)
