"""Whole residual blocks: which go, that a model without them is the one whose branches are zero,
and that everything that follows pruning takes what is left.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prune_checks import context, structured
from torch import Tensor, nn
from torch.nn import functional
from zoo.catalogue import build, settle

from edgecompress.compress.blocks import BlockFinder, Blocks
from edgecompress.compress.capture import capture
from edgecompress.compress.macs import count
from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prune import prune
from edgecompress.errors import ModelError, SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.deploy import StructuredPruneSpec

BLOCKS = structured(remove_blocks=1)


def found_in(model: nn.Module, inputs: tuple[Tensor, ...], *ignored: str) -> Blocks:
    return BlockFinder(model, inputs, set(ignored)).find()


def tame(model: nn.Module, branch_end: str, factor: float = 1e-3) -> None:
    """Make a branch add next to nothing."""
    with torch.no_grad():
        for parameter in model.get_submodule(branch_end).parameters():
            parameter.mul_(factor)


def distilled(model: nn.Module, inputs: tuple[Tensor, ...]):
    """A context whose loss is how far the outputs move from those of `model`."""
    with torch.no_grad():
        wanted = model(*inputs)

    def loss(other: nn.Module) -> Tensor:
        return functional.mse_loss(other(*inputs), wanted)

    return replace(context(inputs), loss=loss, score=lambda _: lambda m: -float(loss(m)))


class Flat(nn.Module):
    """Two residual branches written out in one forward(), and a projected one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a1, self.a2 = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 8, 1)
        self.b1, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.silu(x + self.a2(functional.relu(self.a1(x))))
        x = x + self.scale * self.norm(self.b1(x))
        return self.head(x.mean((2, 3)))


class Pre(nn.Module):
    """A transformer block with its norms first."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True),
            3,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


def flat() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model = Flat().eval()
    settle(model)
    return model, (torch.randn(1, 3, 8, 8),)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("mobilenet_v2", ["3", "5"]),
        ("transformer", ["norm1+qkv+project", "norm2+fc1+fc2"]),
        ("mlp_mixer", ["tokens"]),
        (
            "resnet_conv_shortcut",
            [
                "layer1.0",
                *(
                    f"layer{i}.0.conv1+layer{i}.0.bn1+layer{i}.0.conv2+layer{i}.0.bn2"
                    for i in (2, 3)
                ),
            ],
        ),
        ("two_inputs", []),
        ("densenet", []),
    ],
)
def test_finds_residual_blocks_by_structure(name: str, blocks: list[str]) -> None:
    assert [block.name for block in found_in(*build(name)).found] == blocks


def test_the_block_that_costs_least_goes_and_the_rest_is_as_it_was() -> None:
    model, inputs = build("mobilenet_v2")
    tame(model, "5.body.7")
    result = prune(model, BLOCKS, 8, distilled(model, inputs))
    assert [sorted(block) for block in result.plan.blocks] == [["5"]]
    gone = {row.name for row in result.layers if row.channels_after == 0}
    assert gone == {"5.body.0", "5.body.3", "5.body.6"}
    assert {row.reason for row in result.layers if row.name in gone} == {
        "goes with the residual block '5'"
    }
    with torch.no_grad():
        tame(model, "5.body.7", 0.0)
        torch.testing.assert_close(result.model(*inputs), model(*inputs))
    assert result.before == count(build("mobilenet_v2")[0], inputs)
    assert result.after == count(result.model, inputs)


def test_a_branch_of_a_flat_forward_leaves_no_sum_in_the_trace() -> None:
    model, inputs = flat()
    tame(model, "a2")
    result = prune(model, BLOCKS, 4, distilled(model, inputs))
    assert [sorted(block) for block in result.plan.blocks] == [["a1", "a2"]]
    graph, free_batch = capture(result.model, inputs)
    assert free_batch
    assert [str(n.target) for n in graph.graph.nodes if "add" in str(n.target)] == [
        "aten.add.Tensor"
    ]
    assert not [n for n in graph.graph.nodes if "zeros" in str(n.target)]
    batch = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        tame(model, "a2", 0.0)
        torch.testing.assert_close(graph(batch), model(batch), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result.model(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_the_stream_past_a_branch_that_is_gone_can_still_be_cut() -> None:
    model, inputs = flat()
    tame(model, "a2")
    spec = structured(remove_blocks=1, pruning_ratio={"stem": 0.5})
    result = prune(model, spec, 2, distilled(model, inputs))
    assert {row.name: row.channels_after for row in result.layers}["stem"] == 4


def test_layers_of_torchs_own_transformer_go() -> None:
    torch.manual_seed(0)
    model, inputs = Pre().eval(), (torch.randn(1, 5, 8),)
    blocks = found_in(model, inputs)
    assert [block.name for block in blocks.found][-2:] == ["encoder.layers.1", "encoder.layers.2"]


def test_blocks_and_channels_together_meet_the_reduction_of_the_original() -> None:
    model, inputs = build("mobilenet_v2")
    spec = structured(remove_blocks=1, macs_reduction=1.5)
    result = prune(model, spec, 8, context(inputs))
    assert len(result.plan.blocks) == 1
    assert result.after.macs * 1.5 <= result.before.macs
    # What the blocks save need not be saved by channels.
    assert result.after.macs * 2.1 > result.before.macs
    fresh, _ = build("mobilenet_v2")
    plan = PrunePlan.from_json(result.plan.to_json())
    assert plan == result.plan
    rebuilt = replay(fresh, plan, inputs)
    rebuilt.load_state_dict(result.model.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(*inputs), result.model(*inputs))
    loss = replay(fresh, plan, inputs).train()(torch.randn(2, *inputs[0].shape[1:])).square().mean()
    loss.backward()


def test_a_ratio_of_a_layer_that_is_gone_with_its_block_is_met() -> None:
    model, inputs = build("mobilenet_v2")
    tame(model, "5.body.7")
    spec = structured(remove_blocks=1, pruning_ratio={"5.body.0": 0.5, "0": 0.5})
    result = prune(model, spec, 8, distilled(model, inputs))
    assert {r.name: r.channels_after for r in result.layers}["0"] == 8


def test_ignored_layers_keep_their_block() -> None:
    model, inputs = build("mobilenet_v2")
    blocks = found_in(model, inputs, "5.body.3")
    assert [block.name for block in blocks.found] == ["3"]
    assert blocks.refused["5"] == "'5.body.3' is in prune.ignored_layers"


def test_more_than_can_go_is_refused_with_reasons() -> None:
    model, inputs = build("text")
    with pytest.raises(ModelError, match=r"remove_blocks 1: 0 residual blocks.*encoder: .*beside"):
        prune(model, BLOCKS, 8, context(inputs))
    model, inputs = build("mobilenet_v2")
    with pytest.raises(ModelError, match=r"remove_blocks 9: 2 residual blocks.*\(3, 5\)"):
        prune(model, structured(remove_blocks=9), 8, context(inputs))


class Shared(nn.Module):
    """One block called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + self.block(x).relu()
        return self.head(x)


def test_a_block_that_is_called_twice_stays() -> None:
    torch.manual_seed(0)
    blocks = found_in(Shared().eval(), (torch.randn(1, 8),))
    assert not blocks.found
    assert blocks.refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "exactly one of pruning_ratio"),
        ({"remove_blocks": 1, "pruning_ratio": 0.5, "macs_reduction": 2.0}, "exactly one"),
        ({"remove_blocks": -1}, "remove_blocks"),
        ({"remove_blocks": 1, "steps": 2}, "needs steps: 1"),
    ],
)
def test_what_the_recipe_may_not_say(changes: dict[str, object], message: str) -> None:
    values = {
        "method": "structured",
        "importance": "magnitude",
        "allocation": "uniform",
        "steps": 1,
    }
    with pytest.raises(SpecError, match=message):
        parse(StructuredPruneSpec, {**values, **changes}, "deploy.yaml")


class Chain(nn.Module):
    """Residual blocks of several kinds in a row."""

    def __init__(self, kinds: list[str], width: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(2, width, 3, padding=1)
        self.blocks = nn.ModuleList(Kind(kind, width) for kind in kinds)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(2))


class Kind(nn.Module):
    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.one = nn.Conv1d(width, width + 1, 3, padding=1)
        self.norm = nn.BatchNorm1d(width + 1)
        self.two = nn.Conv1d(width + 1, width, 1)
        self.after = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.two(functional.silu(self.norm(self.one(x))))
        if self.kind == "plain":
            return x + branch
        if self.kind == "relu":
            return functional.relu(x + branch)
        if self.kind == "norm":
            return self.after(x + branch)
        if self.kind == "gated":
            return x * branch.sigmoid()
        return x + branch.mean(2, keepdim=True).expand_as(x)


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kinds=st.lists(
        st.sampled_from(["plain", "relu", "norm", "gated", "pooled"]), min_size=2, max_size=4
    ),
    width=st.integers(2, 6),
)
def test_without_blocks_equals_branches_of_zero(kinds: list[str], width: int) -> None:
    torch.manual_seed(len(kinds) + width)
    model, inputs = Chain(kinds, width).eval(), (torch.randn(1, 2, 9),)
    settle(model)
    can_go = found_in(model, inputs).found
    if not can_go:
        return
    result = prune(model, structured(remove_blocks=len(can_go)), 1, context(inputs))
    gone = {name for block in result.plan.blocks for name in block}
    with torch.no_grad():
        for i, block in enumerate(model.blocks):
            assert isinstance(block, Kind)
            if any(name.startswith(f"blocks.{i}") for name in gone):
                block.two.weight.zero_()
                block.two.bias.zero_()
        batch = torch.randn(2, 2, 9)
        torch.testing.assert_close(result.model(batch), model(batch), rtol=1e-4, atol=1e-5)
    # A norm after the sum stays; what multiplies is no residual branch.
    assert len(can_go) == sum(kind != "gated" for kind in kinds)
