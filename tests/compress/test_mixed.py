"""Sets of operators that stay in float: how they are built, searched and confirmed."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantizing import batch, calibrated
from torch import Tensor, nn
from zoo.catalogue import build

from edgecompress.compress.mixed import Family, Names, Simulation, _smallest, families_of, search
from edgecompress.compress.quantize import Prepared
from edgecompress.compress.sensitivity import Ratio, held_out_inputs, measure_noise
from edgecompress.compress.stepping import Stepper
from edgecompress.compress.units import units_of

Inputs = tuple[Tensor, ...]


class Imbalanced(nn.Module):
    """What `depthwise` puts out spans three orders of magnitude, which `pointwise` undoes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.tail = nn.Conv2d(8, 4, 3)
        scale = torch.logspace(-1.5, 1.5, 8)
        with torch.no_grad():
            self.depthwise.weight.mul_(scale.reshape(8, 1, 1, 1))
            assert self.depthwise.bias is not None
            self.depthwise.bias.mul_(scale)
            self.pointwise.weight.div_(scale.reshape(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.pointwise(self.depthwise(self.stem(x))))  # type: ignore[no-any-return]


def simulated(prepared: Prepared, inputs: Inputs) -> Simulation:
    x = batch(inputs, 8, seed=9)
    batches = held_out_inputs(prepared, [(x, None)], 8)
    return Simulation(Stepper(prepared.graph), units_of(prepared.graph), batches)


def graph_db(model: nn.Module, inputs: Inputs, kept: Names) -> float | None:
    """SQNR at the outputs of the graph that is really prepared with `kept` in float."""
    found, x = calibrated(model, inputs, keep_float=kept), batch(inputs, 8, seed=9)
    ratio = Ratio()
    with torch.no_grad():
        ratio.add(model(*x), found.graph(*x))
    return ratio.db


def every_set(model: nn.Module, inputs: Inputs, keeps_db: float) -> dict[str, Names]:
    """Label -> what was found, with a metric that is the SQNR."""
    prepared = calibrated(model, inputs)
    simulation = simulated(prepared, inputs)
    noise = measure_noise(prepared, [(batch(inputs, 8, seed=9), None)])

    trial = ByNoise(simulation, keeps_db)
    return dict(search(families_of(noise, simulation), simulation, trial))


@dataclass
class ByNoise:
    """With a metric that is the SQNR, and work that is the number of operators."""

    simulation: Simulation
    least_db: float
    tried: list[Names] = field(default_factory=list)

    def simulated(self, names: Names) -> bool:
        return self.simulation.outputs_db(names) >= self.least_db

    def keeps(self, names: Names) -> bool:
        self.tried.append(names)
        return self.simulated(names)

    def work(self, names: Names) -> float:
        return len(names) / len(self.simulation.units)


@pytest.mark.parametrize("name", ["residual", "unet", "text", "max_pool", "in_place"])
def test_a_simulation_is_what_the_graph_gives(name: str) -> None:
    model, inputs = build(name)
    prepared = calibrated(model, inputs)
    simulation = simulated(prepared, inputs)
    names = [unit.name for unit in simulation.units]
    for kept in (names[:1], names[-1:], names[1:3]):
        real = graph_db(model, inputs, tuple(kept))
        assert simulation.outputs_db(kept) == pytest.approx(real, abs=1.5)
    assert simulation.outputs_db(names) == 150


def test_a_tensor_stays_in_float_only_with_all_that_read_it() -> None:
    torch.manual_seed(0)
    sets = every_set(Imbalanced().eval(), (torch.randn(1, 3, 8, 8),), keeps_db=33)
    assert sets
    assert all(set(names) == {"depthwise", "pointwise"} for names in sets.values()), sets


def test_sets_keep_what_is_asked_and_none_is_found_where_nothing_helps() -> None:
    model, inputs = build("mobilenet_v3")
    simulation = simulated(calibrated(model, inputs), inputs)
    limit = simulation.outputs_db(()) + 3
    sets = every_set(model, inputs, limit)
    assert sets
    assert all(simulation.outputs_db(names) >= limit for names in sets.values())
    assert every_set(model, inputs, limit) == sets
    assert every_set(model, inputs, keeps_db=151) == {}


def test_blocks_hold_what_belongs_together() -> None:
    model, inputs = build("mobilenet_v3")
    prepared = calibrated(model, inputs)
    noise = measure_noise(prepared, [(batch(inputs, 8, seed=9), None)])
    families = {family.label: family for family in families_of(noise, simulated(prepared, inputs))}
    excite = next(group for group in families["whole blocks"].groups if "9.up" in group)
    assert {"9.down", "9.up", "9:mul"} <= set(excite)
    kinds = {len(group) for group in families["whole kinds of operators"].groups}
    assert max(kinds) > 1
    everything = {row.name for row in noise.operators}
    for family in families.values():
        assert set(family.first(len(family.groups))) == everything


@given(st.integers(0, 200), st.integers(1, 220))
@settings(max_examples=200, deadline=None)
def test_the_smallest_number_is_found(limit: int, first: int) -> None:
    asked = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number >= first

    assert _smallest(limit, holds) == (first if first <= limit else None)
    assert len(set(asked)) == len(asked)
    assert len(asked) <= 2 * max(limit, 1).bit_length() + 2


def test_a_family_grows_by_groups() -> None:
    family = Family("any", (("a", "b"), ("b", "c"), ("d",)))
    assert [family.first(count) for count in range(4)] == [
        (),
        ("a", "b"),
        ("a", "b", "c"),
        ("a", "b", "c", "d"),
    ]


class Sums(Simulation):
    """The SQNR is the sum of what each operator is worth."""

    def __init__(self, worth: dict[str, float]) -> None:
        self.worth = worth

    def outputs_db(self, kept: Collection[str]) -> float:
        return sum(self.worth[name] for name in set(kept))


@dataclass
class Planned:
    """Ten operators of equal work; `deceptive` keeps the metric only in the simulation."""

    simulation: Simulation
    deceptive: Names = ()
    tried: list[Names] = field(default_factory=list)

    def simulated(self, names: Names) -> bool:
        return self.simulation.outputs_db(names) >= 5

    def keeps(self, names: Names) -> bool:
        self.tried.append(names)
        return self.simulated(names) and names != self.deceptive

    def work(self, names: Names) -> float:
        return len(names) / 10


def planned() -> tuple[Sums, list[Family]]:
    names = [str(number) for number in range(10)]
    worth = {name: 5.0 if name == "0" else 2.5 if name in "89" else 0.5 for name in names}
    one_by_one = tuple((name,) for name in names)
    families = (Family("ranked", one_by_one), Family("end", one_by_one[::-1]))
    return Sums(worth), [*families, Family("block", (tuple(names[1:8]), ("8", "9"), ("0",)))]


def test_what_could_not_be_the_fastest_is_never_tried() -> None:
    simulation, families = planned()
    trial = Planned(simulation)
    assert search(families, simulation, trial) == (("ranked", ("0",)), ("end", ("9", "8")))
    assert trial.tried == [("0",), ("9", "8")]  # the block would put five times the work in float


def test_where_the_simulation_deceives_more_goes_to_float() -> None:
    simulation, families = planned()
    trial = Planned(simulation, deceptive=("0",))
    found = search(families, simulation, trial)
    assert trial.tried[0] == ("0",)
    assert found == (("ranked", ("0", "1")), ("end", ("9", "8")))


def test_what_gains_most_for_its_time_comes_first_where_times_are_known() -> None:
    model, inputs = Imbalanced().eval(), (torch.randn(1, 3, 8, 8),)
    prepared = calibrated(model, inputs)
    noise = measure_noise(prepared, [(batch(inputs, 8, seed=9), None)])
    names = [row.name for row in noise.operators]
    simulation = simulated(prepared, inputs)
    without = [family.label for family in families_of(noise, simulation)]

    def ordered(times_us: dict[str, float]) -> list[str]:
        (*others, family) = families_of(noise, simulation, times_us)
        assert [other.label for other in others] == without
        assert "time" in family.label
        return [name for group in family.groups for name in group]

    # Where all take as long, the noise decides; what takes far longer than that is worth is last.
    assert ordered(dict.fromkeys(names, 5.0)) == names
    slow = ordered(dict.fromkeys(names, 1.0) | {names[0]: 1e12})
    assert slow == [*names[1:], names[0]]
    assert len(families_of(noise, simulation, {})) == len(without)
