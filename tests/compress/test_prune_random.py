"""Random small networks: whatever the structure, pruned equals masked, and counts are rounded."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prune_checks import assert_equals_masked, context, structured
from torch import Tensor, nn
from zoo.catalogue import settle

from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prune import prune

BLOCKS = ("conv", "depthwise", "residual", "projected", "concat", "pool", "gate", "grouped")


class Block(nn.Module):
    """One of BLOCKS, from `inputs` to `self.outputs` channels."""

    def __init__(self, kind: str, inputs: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.outputs = {
            "conv": width,
            "projected": width,
            "concat": inputs + width,
            "grouped": width * 2,
        }.get(kind, inputs)
        hidden = inputs if kind == "depthwise" else width
        groups = {"depthwise": inputs, "grouped": 2 if inputs % 2 == 0 else 1}.get(kind, 1)
        hidden = width * 2 if kind == "grouped" else hidden
        self.conv = nn.Conv2d(inputs, hidden, 3, padding=1, groups=groups, bias=width % 2 == 0)
        self.norm = nn.BatchNorm2d(hidden)
        self.back = nn.Conv2d(hidden, inputs, 1)
        self.project = nn.Conv2d(inputs, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "pool":
            return nn.functional.max_pool2d(x, 2)
        # Not ReLU: a net of two channels would often be dead.
        hidden = nn.functional.silu(self.norm(self.conv(x)))
        if self.kind == "residual":
            return nn.functional.silu(x + self.back(hidden))
        if self.kind == "projected":
            return hidden + self.project(x)
        if self.kind == "concat":
            return torch.cat([x, hidden], dim=1)
        if self.kind == "gate":
            return x * self.back(hidden.mean((2, 3), keepdim=True)).sigmoid()
        return hidden


class RandomNet(nn.Module):
    def __init__(self, plan: list[tuple[str, int]], flat: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, plan[0][1], 3, padding=1)
        channels, size = plan[0][1], 8
        blocks = []
        for kind, width in plan:
            if kind == "pool" and size == 2:
                continue
            size //= 2 if kind == "pool" else 1
            blocks.append(Block(kind, channels, width))
            channels = blocks[-1].outputs
        self.blocks = nn.ModuleList(blocks)
        self.flat = flat
        self.head = nn.Linear(channels * size * size if flat else channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.flatten(1) if self.flat else x.mean((2, 3)))


blocks = st.tuples(st.sampled_from(BLOCKS), st.integers(2, 12))


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    plan=st.lists(blocks, min_size=1, max_size=5),
    flat=st.booleans(),
    round_to=st.sampled_from([1, 2, 4]),
    ratio=st.sampled_from([0.5, 0.7, 0.95]),
)
def test_pruned_equals_masked(
    plan: list[tuple[str, int]], flat: bool, round_to: int, ratio: float
) -> None:
    torch.manual_seed(1)
    # The stem is wide enough to lose channels, so that something can always be pruned.
    model = RandomNet([("conv", 12), *plan], flat).eval()
    settle(model)
    inputs = (torch.randn(1, 2, 8, 8),)
    result = prune(model, structured(pruning_ratio=ratio), round_to, context(inputs))

    assert_equals_masked(model, result, (torch.randn(2, 2, 8, 8),))
    made = {row.name: row for row in result.layers if not row.name.endswith("depthwise")}
    for name, row in made.items():
        layer = model.get_submodule(name)
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.out_channels > 1
        if row.channels_after != row.channels_before and not depthwise:
            assert row.channels_after % round_to == 0
        assert row.channels_after > 0
    rebuilt = replay(model, PrunePlan.from_json(result.plan.to_json()), inputs)
    rebuilt.load_state_dict(result.model.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(*inputs), result.model(*inputs))
