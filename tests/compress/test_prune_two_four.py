"""2:4: the mask, which layers get it, and that it comes after structured pruning."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prune_checks import context, structured
from quantizing import calibrated
from torch import Tensor, nn
from zoo.catalogue import build

from edgecompress.compress.layers import rows
from edgecompress.compress.modes import set_training
from edgecompress.compress.plan import PrunePlan, replay
from edgecompress.compress.prune import Pruned, prune
from edgecompress.compress.quantize import convert
from edgecompress.compress.sparsify import apply_masks, confirm_masks
from edgecompress.compress.two_four import choose, confirm, mask_of, masks_for
from edgecompress.errors import ModelError, SpecError
from edgecompress.spec.deploy import PruneSpec, TwoFourPruneSpec, UnstructuredPruneSpec

ALONE = TwoFourPruneSpec(method="2:4")
HALF = UnstructuredPruneSpec(method="unstructured", sparsity=0.5, scope="layer")


def groups_of_four(tensor: Tensor) -> list[list[float]]:
    """Neighbours along axis 1, one list for each output and each place in the kernel."""
    outputs, inputs = tensor.shape[:2]
    flat = tensor.reshape(outputs, inputs, -1)
    return [
        [float(flat[o, start + i, k]) for i in range(4)]
        for o in range(outputs)
        for start in range(0, inputs, 4)
        for k in range(flat.shape[2])
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    outputs=st.integers(1, 3),
    fours=st.integers(1, 4),
    kernel=st.sampled_from([(), (1,), (3,), (2, 3)]),
    # Coarse, so that there are ties and zeros.
    steps=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_mask(outputs: int, fours: int, kernel: tuple[int, ...], steps: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    shape = (outputs, 4 * fours, *kernel)
    weight = torch.randint(-steps, steps + 1, shape, generator=random) / steps
    mask = mask_of(weight)
    assert (mask.shape, mask.dtype) == (weight.shape, torch.bool)
    kept, sizes = groups_of_four(mask), groups_of_four(weight.abs())
    for four, size in zip(kept, sizes, strict=True):
        assert sum(four) == 2
        smallest_kept = min(s for s, k in zip(size, four, strict=True) if k)
        largest_gone = max(s for s, k in zip(size, four, strict=True) if not k)
        assert smallest_kept >= largest_gone
    # What is 2:4 already is found again from its zeros.
    sparse = weight * mask
    assert torch.equal(sparse * mask_of(sparse), sparse)
    confirm({"any": sparse})


def test_three_of_four_are_refused() -> None:
    weight = torch.tensor([[0.0, 0.0, 1.0, 2.0, 0.0, 3.0, 4.0, 5.0]])
    confirm({"fc": weight[:, :4]})
    # Two zeros in the eight, but not in each four.
    with pytest.raises(ModelError, match="'fc' is not 2:4: 1 groups of four"):
        confirm({"fc": weight})


class Mixed(nn.Module):
    """One layer of each kind that stays dense, and two that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.grouped = nn.Conv2d(16, 16, 1, groups=2)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.twice = nn.Conv2d(8, 8, 1)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
        self.gru = nn.GRU(8, 8)
        self.kept = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.conv(self.stem(x)).relu()).relu()
        x = self.twice(self.twice(self.up(self.grouped(x))).relu())
        x = self.gru(self.normed(x.mean((2, 3))))[0]
        return self.head(self.kept(x).relu())


@pytest.fixture
def mixed() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Mixed().eval(), (torch.randn(2, 3, 8, 8),)


def test_alone(mixed: tuple[nn.Module, tuple[Tensor, ...]]) -> None:
    model, inputs = mixed
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    spec = TwoFourPruneSpec(method="2:4", ignored_layers=("kept",))
    result = prune(model, spec, 8, context(inputs))
    assert list(result.masks) == ["conv", "head"]
    for name, mask in result.masks.items():
        assert torch.equal(
            result.model.get_parameter(f"{name}.weight"),
            torch.where(mask, before[f"{name}.weight"], 0.0),
        )
    others = set(before) - {"conv.weight", "head.weight"}
    assert all(torch.equal(result.model.get_parameter(name), before[name]) for name in others)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert result.before == result.after  # zeros are counted as dense
    assert {row.name: row.reason for row in result.layers} == {
        "stem": "not 2:4: 3 input channels are not a multiple of 4",
        "conv": None,
        "depthwise": "not 2:4: a depthwise convolution reads one input channel for each output",
        "grouped": "not 2:4: a grouped convolution does not read all input channels",
        "up": "not 2:4: ConvTranspose2d is neither a convolution nor a linear layer",
        "twice": "not 2:4: is used more than once, or shares its weights",
        "normed": "not 2:4: its weight is computed from other parameters",
        "gru": "not 2:4: GRU is neither a convolution nor a linear layer",
        "kept": "not 2:4: is in prune.ignored_layers",
        "head": None,
    }


def both(**changes: object) -> Pruned:
    model, inputs = build("resnet_conv_shortcut")
    spec = structured(pruning_ratio=0.5, then="2:4", **changes)
    return prune(model, spec, 8, context(inputs))


def test_after_structured_pruning() -> None:
    result = both()
    assert result.after.macs < result.before.macs
    assert result.plan.steps
    assert "conv1" not in result.masks
    assert len(result.masks) > 5
    for name, mask in result.masks.items():
        weight = result.model.get_parameter(f"{name}.weight")
        assert mask.shape == weight.shape
        assert all(four.count(0.0) == 2 for four in groups_of_four(weight.detach()))
    stem = next(row for row in result.layers if row.name == "conv1")
    assert stem.reason is None or stem.reason.endswith("3 input channels are not a multiple of 4")
    cut = [row for row in result.layers if row.channels_after < row.channels_before]
    assert cut
    assert all(row.reason is None for row in cut if row.name in result.masks)


def test_plan_rebuilds_the_masks() -> None:
    result = both()
    fresh, inputs = build("resnet_conv_shortcut")
    plan = PrunePlan.from_json(result.plan.to_json())
    rebuilt = replay(fresh, plan, inputs)
    assert all(
        torch.equal(found, wanted)
        for found, wanted in zip(rebuilt.parameters(), result.model.parameters(), strict=True)
    )
    masks = masks_for(rebuilt, plan.two_four)
    assert masks.keys() == result.masks.keys()
    assert all(torch.equal(masks[name], result.masks[name]) for name in masks)


def test_training_keeps_the_zeros() -> None:
    model, inputs = build("flatten_linear")
    result = prune(model, ALONE, 8, context(inputs))
    optimizer = torch.optim.SGD(result.model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        context(inputs).loss(result.model).backward()
        optimizer.step()
        apply_masks(result.model, result.masks)
    weights = {name: result.model.get_parameter(f"{name}.weight") for name in result.masks}
    confirm(weights)
    confirm_masks(weights.items(), result.masks)
    name = next(iter(weights))
    with torch.no_grad():
        weights[name][~result.masks[name]] = 1.0
    with pytest.raises(ModelError, match=f"brought back weights of '{name}' that were pruned"):
        confirm_masks(weights.items(), result.masks)


class Twice(nn.Module):
    """One convolution before two batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)
        self.first, self.second = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.conv(x)).relu()
        return self.head(self.second(self.conv(x)).relu()).mean((2, 3))


@pytest.mark.parametrize("spec", [ALONE, HALF], ids=["2:4", "unstructured"])
def test_qat_keeps_the_zeros_or_says_that_it_did_not(spec: PruneSpec) -> None:
    torch.manual_seed(0)
    inputs = (torch.randn(2, 8, 4, 4),)
    result = prune(Twice().eval(), spec, 8, context(inputs))
    prepared = calibrated(result.model, inputs, "int8 symmetric")
    set_training(prepared.graph, True)
    optimizer = torch.optim.SGD(prepared.graph.parameters(), lr=1.0)
    context(inputs).loss(prepared.graph).backward()
    optimizer.step()
    apply_masks(prepared.graph, result.masks)
    shipped = list(convert(prepared).weights())
    if spec is ALONE:
        assert list(result.masks) == ["head"]
        confirm_masks(shipped, result.masks)
        head = dict(shipped)["head"]
        confirm({"head": head})
        assert not torch.equal(
            head, dict(convert(calibrated(result.model, inputs)).weights())["head"]
        )
    else:
        # Each use has weights of its own, and the masks know of one.
        with pytest.raises(ModelError, match=r"weights of 'conv' that were pruned.*ignored_layers"):
            confirm_masks(shipped, result.masks)


def test_refusals(mixed: tuple[nn.Module, tuple[Tensor, ...]]) -> None:
    model, inputs = mixed
    with pytest.raises(SpecError, match=r"ignored_layers: 'cnov' is not a module"):
        choose(model, inputs, ["cnov"])
    with pytest.raises(
        ModelError, match=r"no weights can be 2:4 \(0: 6 input channels are"
    ) as caught:
        choose(nn.Sequential(nn.Linear(6, 4)), (torch.randn(1, 6),))
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no convolution or linear layer"):
        choose(nn.ReLU(), inputs)


def test_layers_without_a_reason_have_none() -> None:
    """Only structured pruning speaks of channels that cannot be followed."""
    model, inputs = build("flatten_linear")
    assert {row.reason for row in rows(model, model, {})} == {None}
    assert {row.reason for row in prune(model, HALF, 8, context(inputs)).layers} == {None}
