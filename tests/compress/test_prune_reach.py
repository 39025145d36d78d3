"""What only operators show: padded shortcuts, heads of attention, counts in a forward(); each under
the invariant that removing equals masking.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prune_checks import assert_equals_masked, context, structured
from torch import Tensor, nn
from torch.nn import functional
from zoo.catalogue import build, settle
from zoo.resnet import CifarResNet

from edgecompress.compress.capture import capture
from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prune import Pruned, prune
from edgecompress.compress.rewritable import find_rewrites
from edgecompress.compress.rewrite import (
    Attention,
    AttentionRewrite,
    PaddedShortcut,
    rewritten,
)
from edgecompress.errors import ModelError

REACH = structured(pruning_ratio=0.5, reach="operators")


def widths(result: Pruned) -> dict[str, int]:
    return {row.name: row.channels_after for row in result.layers}


def check(model: nn.Module, inputs: tuple[Tensor, ...], result: Pruned) -> None:
    """Everything that the result must be, whatever was cut."""
    plain = rewritten(model, result.plan.rewrites)
    batch = tuple(torch.randn(3, *x.shape[1:]) for x in inputs)
    for given_inputs in (inputs, batch):
        assert_equals_masked(plain, result, given_inputs)
        with torch.no_grad():
            torch.testing.assert_close(plain(*given_inputs), model(*given_inputs))
    plan = PrunePlan.from_json(result.plan.to_json())
    assert plan == result.plan
    rebuilt = replay(model, plan, inputs)
    rebuilt.load_state_dict(result.model.state_dict())
    graph, free_batch = capture(rebuilt, inputs)
    with torch.no_grad():
        assert torch.equal(rebuilt(*batch), result.model(*batch))
        if free_batch:
            torch.testing.assert_close(graph(*batch), rebuilt(*batch), rtol=1e-4, atol=1e-5)
    rebuilt.train()(*batch).square().mean().backward()
    assert all(p.grad is not None for p in rebuilt.parameters() if p.requires_grad)


def option_a(shortcut: str, width: int = 8) -> nn.Module:
    """A residual net of two stages, with the shortcut written in one of several ways."""
    torch.manual_seed(0)
    model = CifarResNet(blocks=1, width=width, option="A")
    ways = {
        "lambda": lambda x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, width // 2, width // 2)),
        "shape": lambda x: torch.cat([x[:, :, ::2, ::2], 0 * x[:, :, ::2, ::2]], 1),
    }

    class Lambda(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ways[shortcut](x)

    model.layer2[0].shortcut = Lambda()
    settle(model)
    return model.eval()


@pytest.mark.parametrize("way", ["lambda", "shape"])
def test_streams_behind_padded_shortcuts_are_cut(way: str) -> None:
    model, inputs = option_a(way), (torch.randn(1, 3, 8, 8),)
    result = prune(model, REACH, 2, context(inputs))
    check(model, inputs, result)
    after = widths(result)
    assert after["conv1"] == after["layer1.0.conv2"] == 4
    assert after["layer2.0.conv2"] == 8
    assert after["layer3.0.conv2"] == 16
    assert result.before.macs / result.after.macs > 3.3
    shortcut = result.model.layer3[0].shortcut
    assert isinstance(shortcut, PaddedShortcut)
    assert (shortcut.before, shortcut.after) == (4, 4)


def test_without_being_asked_all_is_as_before() -> None:
    model, inputs = option_a("lambda"), (torch.randn(1, 3, 8, 8),)
    result = prune(model, structured(pruning_ratio=0.5), 2, context(inputs))
    assert not result.plan.rewrites
    assert widths(result)["conv1"] == 8


class Attend(nn.Module):
    """Attention by hand; `layout` is how its heads are written down."""

    def __init__(self, layout: str, heads: int, size: int, fused: bool) -> None:
        super().__init__()
        dim = heads * size
        self.layout, self.fused, self.heads, self.size, self.dim = layout, fused, heads, size, dim
        self.stem = nn.Linear(5, dim)
        if fused:
            self.qkv = nn.Linear(dim, 3 * dim)
        else:
            self.q, self.k, self.v = (nn.Linear(dim, dim, bias=i != 1) for i in range(3))
        self.out = nn.Linear(dim, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        n, tokens, _ = x.shape
        sizes = {
            "heads": (self.heads, -1),
            "size": (-1, self.size),
            "both": (self.heads, self.size),
            "input": (self.heads, x.shape[2] // self.heads),
        }[self.layout]
        if self.fused:
            parts = self.qkv(x).view(n, tokens, 3, *sizes).unbind(2)
        else:
            parts = tuple(layer(x).view(n, tokens, *sizes) for layer in (self.q, self.k, self.v))
        q, k, v = (part.transpose(1, 2) for part in parts)
        seen = ((q @ k.transpose(2, 3)) * self.size**-0.5).softmax(-1) @ v
        last = self.heads * self.size if self.layout == "both" else -1
        return self.out(seen.transpose(1, 2).reshape(n, tokens, last)).mean(1)


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    layout=st.sampled_from(["heads", "size", "both"]),
    heads=st.integers(2, 5),
    size=st.integers(2, 4),
    fused=st.booleans(),
)
def test_heads_of_attention_by_hand(layout: str, heads: int, size: int, fused: bool) -> None:
    torch.manual_seed(heads + size)
    model, inputs = Attend(layout, heads, size, fused).eval(), (torch.randn(1, 7, 5),)
    result = prune(model, REACH, 1, context(inputs))
    check(model, inputs, result)
    left = heads - heads // 2
    after = widths(result)
    assert after["qkv" if fused else "q"] == left * size * (3 if fused else 1)
    read = result.model.get_submodule("out")
    assert read.in_features == left * size


def test_a_head_size_that_follows_from_the_input_is_refused() -> None:
    torch.manual_seed(0)
    model, inputs = Attend("input", 4, 3, fused=False).eval(), (torch.randn(1, 7, 5),)
    with pytest.raises(ModelError, match=r"k: forward\(\) depends on their number"):
        prune(model, REACH, 1, context(inputs))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_torchs_own_attention(batch_first: bool, masked: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(12, 3, batch_first=batch_first, bias=masked)
            self.fc = nn.Linear(12, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = x if batch_first else x.transpose(0, 1)
            mask = torch.full((6, 6), -torch.inf).triu(1) if masked else None
            seen = self.attend(x, x, x, attn_mask=mask, need_weights=False)[0]
            return self.fc(seen).mean(1 if batch_first else 0)

    torch.manual_seed(0)
    model, inputs = Net().eval(), (torch.randn(1, 6, 12),)
    result = prune(model, structured(pruning_ratio=0.4, reach="operators"), 4, context(inputs))
    check(model, inputs, result)
    attend = result.model.get_submodule("attend")
    assert isinstance(attend, Attention)
    assert attend.num_heads == 2
    row = next(row for row in result.layers if row.name == "attend")
    assert (row.kind, row.channels_before, row.channels_after) == ("MultiheadAttention", 12, 8)


def test_the_head_that_matters_stays() -> None:
    model, inputs = build("multi_head_attention")
    with torch.no_grad():
        for head in (0, 2):
            model.attend.out_proj.weight[:, 4 * head : 4 * head + 4] *= 0.001
            model.attend.in_proj_weight.view(3, 4, 4, 16)[:, head] *= 0.001
    spec = structured(pruning_ratio={"attend.q_proj": 0.5}, reach="operators")
    result = prune(model, spec, 4, context(inputs))
    (step,) = result.plan.steps
    removed = next(cut.removed for cut in step if (cut.layer, cut.side) == ("attend.q_proj", "out"))
    assert removed == (0, 1, 2, 3, 8, 9, 10, 11)


@pytest.mark.parametrize("options", [{}, {"need_weights": False}, {"average_attn_weights": False}])
def test_attention_written_anew_is_the_same(options: dict[str, bool]) -> None:
    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, kdim=6, vdim=5, batch_first=True)

        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
            hidden = k.sum(-1) > 3
            return [x for x in self.attend(q, k, v, hidden, **options) if x is not None]

    torch.manual_seed(0)
    model = Weights().eval()
    inputs = (torch.randn(1, 3, 8), torch.randn(1, 4, 6), torch.randn(1, 4, 5))
    assert find_rewrites(model, inputs) == {"attend": AttentionRewrite()}
    with torch.no_grad():
        pairs = zip(
            model(*inputs), rewritten(model, {"attend": AttentionRewrite()})(*inputs), strict=True
        )
        for one, other in pairs:
            torch.testing.assert_close(one, other)


def test_value_channels_of_one_head_can_go() -> None:
    model, inputs = build("single_head_attention")
    result = prune(model, REACH, 2, context(inputs))
    check(model, inputs, result)
    assert widths(result) == {"q": 16, "k": 16, "v": 8, "fc": 4}


def test_heads_of_torchs_encoder_and_its_hidden_layer() -> None:
    model, inputs = build("text")
    result = prune(model, REACH, 8, context(inputs))
    assert widths(result)["encoder.self_attn"] == 8
    assert widths(result)["encoder.linear1"] == 16
    with torch.no_grad():
        assert result.model(inputs[0].repeat(3, 1)).shape == (3, 3)


def test_a_count_that_a_module_keeps_for_its_view() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.channels = 8
            self.conv = nn.Conv1d(2, 8, 3, padding=1)
            self.out = nn.Conv1d(8, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.conv(x).view(-1, self.channels, 9).relu())

    torch.manual_seed(0)
    model, inputs = Counted().eval(), (torch.randn(1, 2, 9),)
    result = prune(model, REACH, 2, context(inputs))
    check(model, inputs, result)
    assert widths(result)["conv"] == result.model.channels == 4


def test_ignored_layers_are_not_written_anew() -> None:
    model, inputs = build("text")
    spec = structured(pruning_ratio=0.5, reach="operators", ignored_layers=("encoder.self_attn",))
    result = prune(model, spec, 8, context(inputs))
    assert not result.plan.rewrites
    assert widths(result)["encoder.self_attn"] == 16


def test_every_importance_and_allocation_takes_what_is_reached() -> None:
    model, inputs = option_a("lambda"), (torch.randn(1, 3, 8, 8),)
    for importance in ("fisher", "loss"):
        spec = structured(
            macs_reduction=2.0, allocation="global", importance=importance, reach="operators"
        )
        result = prune(model, spec, 2, context(inputs))
        assert result.after.macs * 2 <= result.before.macs


def test_steps_end_where_one_step_does() -> None:
    model, inputs = build("multi_head_attention")
    spec = structured(pruning_ratio=0.5, reach="operators", steps=2)
    result = prune(model, spec, 4, context(inputs))
    once = prune(model, structured(pruning_ratio=0.5, reach="operators"), 4, context(inputs))
    assert widths(result) == widths(once)
    rebuilt = replay(model, result.plan, inputs)
    rebuilt.load_state_dict(result.model.state_dict())


def test_what_a_rule_is_not_written_for_keeps_its_channels_and_costs_no_others() -> None:
    class Expanding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1)
            self.three = nn.Conv2d(16, 16, 1)
            self.scale = nn.Parameter(torch.rand(1, 16, 1, 1))
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.three(self.two(self.one(x).relu()).relu())
            x = (x * self.scale.expand_as(x)).relu()
            found: Tensor = self.head(x.mean((2, 3)))
            return found

    torch.manual_seed(0)
    model, inputs = Expanding().eval(), (torch.rand(1, 3, 6, 6),)
    result = prune(model, REACH, 8, context(inputs))
    assert [widths(result)[name] for name in ("one", "two")] == [8, 8]
    check(model, inputs, result)
