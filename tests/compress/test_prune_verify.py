"""The checks themselves must be able to fail: wrong cuts, dead models, randomness."""

from collections.abc import Callable

import pytest
import torch
from prune_checks import context, structured
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from zoo.catalogue import build

from edgecompress.compress.groups import ChannelGroup, Slot, find, merge
from edgecompress.compress.probe import probes
from edgecompress.compress.prunable import prunable
from edgecompress.compress.prune import prune
from edgecompress.compress.surgery import cut, masked, renumber
from edgecompress.compress.verify import Checker, Structure
from edgecompress.errors import ModelError, SpecError

OUT, IN, NEXT = Slot("0", "out"), Slot("2", "in"), Slot("2", "out")


def two_layers() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), (torch.randn(1, 4),)


def group(pairs: list[tuple[int, int]]) -> ChannelGroup:
    return ChannelGroup("0", tuple({OUT: (made,), IN: (read,)} for made, read in pairs))


def test_a_right_mapping_passes() -> None:
    assert Checker(*two_layers()).reason(group([(i, i) for i in range(8)]), 1) is None


def test_a_wrong_mapping_is_refused() -> None:
    # Every channel is read by the consumer as its neighbour.
    shifted = group([(i, (i + 1) % 8) for i in range(8)])
    assert "not the same as masking" in (Checker(*two_layers()).reason(shifted, 1) or "")


@pytest.mark.parametrize("one", range(6))
def test_one_wrong_pair_of_many_is_refused(one: int) -> None:
    pairs = [(i, i) for i in range(8)]
    pairs[one], pairs[one + 2] = (one, one + 2), (one + 2, one)
    model, inputs = two_layers()
    structure = Structure(model, probes(model, inputs))
    cuts = merge(group(pairs).units[one : one + 2])
    assert "not the same" in (structure.failure(cuts, must_matter=True) or "")


def test_a_cut_of_unequal_sizes_is_refused_not_raised() -> None:
    lopsided = ChannelGroup("0", tuple({OUT: (i,), IN: (0,)} for i in range(8)))
    assert "it fails" in (Checker(*two_layers()).reason(lopsided, 1) or "")


def test_a_dead_branch_is_still_checked() -> None:
    model, inputs = two_layers()
    with torch.no_grad():
        model[2].weight.zero_()
    checker = Checker(model, inputs)
    assert checker.reason(group([(i, i) for i in range(8)]), 1) is None
    assert checker.reason(group([(i, 7 - i) for i in range(8)]), 1) is not None


def test_whole_cut_is_confirmed_against_the_mask() -> None:
    model, inputs = two_layers()
    checker = Checker(model, inputs)
    right = {OUT: (1, 4), IN: (1, 4)}
    checker.confirm(model, cut(model, right), right)
    with pytest.raises(ModelError, match="differs from its masked original"):
        checker.confirm(model, cut(model, {OUT: (1, 4), IN: (2, 4)}), right)


def test_a_model_that_died_is_refused() -> None:
    model, inputs = two_layers()
    dead, _ = two_layers()
    with torch.no_grad():
        dead[0].bias.fill_(-100)
    with pytest.raises(ModelError, match="no longer follow input 0"):
        Checker(model, inputs).alive(dead)


def test_infinite_outputs_are_refused() -> None:
    model, inputs = two_layers()
    broken, _ = two_layers()
    with torch.no_grad():
        broken[2].bias.fill_(float("inf"))
    with pytest.raises(ModelError, match="not finite"):
        Checker(model, inputs).alive(broken)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.fc(x), 0.5, training=True)


def test_randomness_in_forward_is_refused() -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError, match="two runs on the same input"):
        prunable(Noisy(), (torch.randn(1, 4),), 1)


def test_wrong_example_inputs_are_the_users() -> None:
    model, _ = two_layers()
    with pytest.raises(ModelError, match="fails on its own example inputs"):
        prune(model, structured(pruning_ratio=0.5), 1, context((torch.randn(1, 5),)))


class Float32Only(nn.Module):
    """Writes its type down, so that it cannot run in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.float()).relu())


def test_model_with_a_fixed_type_is_checked_in_float32() -> None:
    torch.manual_seed(0)
    found = prunable(Float32Only(), (torch.randn(1, 4),), 8)
    assert [g.name for g in found.groups] == ["one"]


def test_fixed_batch_size_is_fine() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv1d(2, 16, 1), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x).relu().mean(2).view(1, -1))

    torch.manual_seed(0)
    found = prunable(Fixed(), (torch.randn(1, 2, 5),), 8)
    assert [g.name for g in found.groups] == ["one"]


def test_nothing_to_prune_says_why() -> None:
    model, inputs = build("layer_norm")
    with pytest.raises(ModelError, match=r"no channels can be pruned.*LayerNorm"):
        prune(model[:3], structured(pruning_ratio=0.5), 8, context(inputs))


def test_ignored_layers() -> None:
    model, inputs = build("resnet_conv_shortcut")
    found = prunable(model, inputs, 8, ["layer3", "conv1"])
    assert {g.name for g in found.groups} == {"layer1.0.conv1", "layer2.0.conv1", "layer2.0.conv2"}
    assert found.refused["layer3.0.conv1"] == "'layer3.0.conv1' is in prune.ignored_layers"
    with pytest.raises(SpecError, match="'layer9' is not a module of the model; known: conv1"):
        prunable(model, inputs, 8, ["layer9"])


def test_too_few_channels_for_one_step() -> None:
    model, inputs = two_layers()
    found = prunable(model, inputs, 16)
    assert found.refused["0"] == "has 8 channels, not more than one step of 16"


def test_masking_restores_the_weights() -> None:
    model, _ = build("grouped_conv")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with masked(model, {Slot("3", "in"): (0, 8, 16, 24)}):
        assert model[3].weight[:, 0].eq(0).all()
        assert model[3].weight[:, 1:].ne(0).any()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_units_are_renumbered_as_the_model_shrinks() -> None:
    model, inputs = build("densenet")
    groups = find(model, inputs).groups
    cuts = groups[0].units[3]
    smaller = cut(model, cuts)
    again = {g.name: g.units for g in find(smaller, inputs).groups}
    assert {g.name: g.units for g in renumber(groups, cuts)} == again


def test_frozen_parameters_stay_frozen() -> None:
    model, inputs = build("flatten_linear")
    model[0].requires_grad_(False)
    result = prune(model, structured(pruning_ratio=0.5), 8, context(inputs))
    frozen = [name for name, p in result.model.named_parameters() if not p.requires_grad]
    assert frozen == ["0.weight", "0.bias"]


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_weight_that_is_computed_is_named(norm: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    layers = [norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)]
    inputs = (torch.randn(1, 6),)
    result = prune(nn.Sequential(*layers).eval(), structured(pruning_ratio=0.5), 4, context(inputs))
    first, second, _ = result.layers
    assert "computed from other parameters" in (first.reason or "")
    assert second.channels_after == 4


class Apart(nn.Module):
    """Layers that the dependency graph has no channels of: a spare one, and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(8, 8)
        self.embed, self.first, self.last = nn.Embedding(10, 8), nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.first(self.embed(tokens)).relu())


def test_a_layer_that_pruning_never_met_has_a_reason_too() -> None:
    torch.manual_seed(0)
    inputs = (torch.randint(0, 10, (2, 5)),)
    result = prune(Apart().eval(), structured(pruning_ratio=0.5), 8, context(inputs))
    reasons = {row.name: row.reason for row in result.layers}
    unfollowed = "is in no group of channels that pruning can follow"
    assert (reasons["spare"], reasons["embed"]) == (unfollowed, unfollowed)
    assert reasons["first"] is None
    assert "they are an output" in (reasons["last"] or "")
