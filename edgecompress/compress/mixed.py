"""Which operators to leave in float so that a metric is kept: sets of them, and the search.

Quantised operators in float cost time, and more where a lone one stands between int8 ones. So sets
are built in several ways, from what belongs together, and each way gives the smallest of its sets
that keeps the metric. Which of those is the fastest is for a clock to say.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

import torch
from torch import Tensor
from torch.fx import Node

from edgecompress.compress.operators import MOVING
from edgecompress.compress.sensitivity import Ratio
from edgecompress.compress.stepping import Stepper
from edgecompress.compress.units import Unit
from edgecompress.spec.report import OperatorNoise, QuantizationNoise

Names = tuple[str, ...]
_SPARE_DB = 0.05
"""How much SQNR an operator that goes back to int8 may cost."""
_SPARE_WORK = 0.15
"""A set with so much more of its work in float may still be the fastest: an int8 kernel takes half
of a float one's time or more, and it costs as much where a lone operator stands between others.
"""
_LEAST_US = 0.01
"""No counter tells less."""
_RETRIES = 2
_REFINEMENTS = 24


@dataclass(frozen=True)
class Family:
    """One way to build sets: the first of the groups, the first two, and so on."""

    label: str
    groups: tuple[Names, ...]

    def first(self, count: int) -> Names:
        """The operators of the first `count` groups, each once."""
        return tuple(dict.fromkeys(name for group in self.groups[:count] for name in group))


class Simulation:
    """SQNR at the model's outputs with some operators in float, without preparing a graph for it.

    Args:
        stepper: of the graph with all operators quantised.
        units: those operators.
        batches: of held-out inputs.

    """

    def __init__(
        self, stepper: Stepper, units: Sequence[Unit], batches: Iterable[tuple[Tensor, ...]]
    ) -> None:
        self._stepper, self.units = stepper, tuple(units)
        with torch.no_grad():
            self._batches = [(inputs, stepper.run_mixed(inputs, ())) for inputs in batches]
        self._known: dict[frozenset[str], float] = {}

    def outputs_db(self, kept: Collection[str]) -> float:
        key = frozenset(kept)
        if key not in self._known:
            ratio = Ratio()
            quantised = [unit for unit in self.units if unit.name not in key]
            with torch.no_grad():
                for inputs, original in self._batches:
                    ratio.add(original, self._stepper.run_mixed(inputs, quantised))
            self._known[key] = 0.0 if ratio.db is None else ratio.db
        return self._known[key]


def families_of(
    noise: QuantizationNoise, simulation: Simulation, times_us: Mapping[str, float] | None = None
) -> tuple[Family, ...]:
    """The ways to build sets, of the operators of `noise`.

    Args:
        noise: what each operator costs alone.
        simulation: of the model with some in float.
        times_us: how much longer an operator takes in float, of those where that was measured.

    """
    units = simulation.units
    ranking = [row.name for row in noise.operators]
    rank = {name: place for place, name in enumerate(ranking)}
    in_order = [unit.name for unit in units]
    return (
        Family("the operators that cost most alone", tuple((name,) for name in ranking)),
        Family("the tensors that cost most, with all that read them", _tensors(simulation)),
        Family("whole blocks", _grouped([(_block(unit), unit.name) for unit in units], rank)),
        Family("whole kinds of operators", _grouped([(u.kind, u.name) for u in units], rank)),
        Family("the end of the network", tuple((name,) for name in reversed(in_order))),
        Family("the beginning of the network", tuple((name,) for name in in_order)),
        *_worth_their_time(noise, times_us or {}),
    )


def _worth_their_time(noise: QuantizationNoise, times_us: Mapping[str, float]) -> Iterator[Family]:
    """The operators that take away most noise for the time that they take in float, where that was
    measured; one that was not counts as much as the middle one of those that were.
    """
    known = sorted(times_us[row.name] for row in noise.operators if row.name in times_us)
    if not known:
        return
    middle = known[len(known) // 2]

    def worth(row: OperatorNoise) -> float:
        power = 0.0 if row.alone_db is None else 10 ** (-row.alone_db / 10)
        return float(power / max(times_us.get(row.name, middle), _LEAST_US))

    ordered = sorted(noise.operators, key=worth, reverse=True)
    label = "the operators that gain most for the time they take in float"
    yield Family(label, tuple((row.name,) for row in ordered))


def _block(unit: Unit) -> str:
    """The module that an operator belongs to together with others."""
    return unit.module if unit.module != unit.name else unit.module.rpartition(".")[0]


def _grouped(labelled: Sequence[tuple[str, str]], rank: dict[str, int]) -> tuple[Names, ...]:
    """Operators by label, the group with the worst operator first."""
    groups: dict[str, list[str]] = {}
    for label, name in labelled:
        groups.setdefault(label, []).append(name)
    ordered = sorted(groups.values(), key=lambda names: min(rank[name] for name in names))
    return tuple(tuple(names) for names in ordered)


def _tensors(simulation: Simulation) -> tuple[Names, ...]:
    """All that write or read one tensor, for each of them, and each operator by itself; what
    gains most first.
    """
    units = simulation.units
    groups: dict[Names, None] = dict.fromkeys((unit.name,) for unit in units)
    readers = _readers(units)
    for unit in units:
        around = (unit.name, *readers.get(unit.name, ()))
        groups[tuple(dict.fromkeys(around))] = None
    return tuple(sorted(groups, key=lambda names: -simulation.outputs_db(names)))


def _readers(units: Sequence[Unit]) -> dict[str, Names]:
    """Operator -> those that read what it puts out, through all that only moves it."""
    heads = {unit.nodes[0]: unit.name for unit in units}
    found: dict[str, Names] = {}
    for unit in units:
        names: dict[str, None] = {}
        following = list(unit.last.users)
        while following:
            node = following.pop()
            if node in heads:
                names[heads[node]] = None
            elif node.op != "output" and _passes_on(node):
                following += node.users
        found[unit.name] = tuple(names)
    return found


def _passes_on(node: Node) -> bool:
    return node.op == "call_module" or node.target in MOVING


class Trial(Protocol):
    """Operators are left in float and the model is held against the metric."""

    def simulated(self, names: Names) -> bool:
        """Whether it is kept, as far as a simulation tells."""

    def keeps(self, names: Names) -> bool:
        """Whether the model that would ship keeps it."""

    def work(self, names: Names) -> float:
        """Share of the model's work that is in float so, from 0 to 1."""


def search(
    families: Sequence[Family], simulation: Simulation, trial: Trial
) -> tuple[tuple[str, Names], ...]:
    """Small sets that keep the metric, with their family's label, the least work in float first;
    each set once, and none where none keeps it.

    The first family is searched with the metric itself. The others are searched by the SQNR at the
    outputs that its set has. What is found there is held against the metric as long as a clock
    could find it as fast as what keeps it already.
    """
    ranked = families[0]
    count = _smallest(len(ranked.groups) - 1, lambda n: trial.simulated(ranked.first(n)))
    if count is None:
        return ()
    enough = _Enough(simulation, simulation.outputs_db(ranked.first(count)))
    waiting: list[tuple[float, int, Names]] = []
    attempts = [
        _attempts(family, count if family is ranked else enough.count(family), enough)
        for family in families
    ]

    def propose(place: int) -> None:
        for names in attempts[place]:
            heappush(waiting, (trial.work(names), place, names))
            return

    for place in range(len(families)):
        propose(place)
    found: dict[frozenset[str], tuple[str, Names]] = {}
    least = math.inf
    while waiting and waiting[0][0] <= least + _SPARE_WORK:
        work, place, names = heappop(waiting)
        if any(known <= set(names) for known in found):
            continue
        if trial.keeps(names):
            found[frozenset(names)] = (families[place].label, names)
            least = min(least, work)
        else:
            propose(place)
    return tuple(found.values())


@dataclass(frozen=True)
class _Enough:
    """The SQNR at the outputs with which the metric was seen to be kept."""

    simulation: Simulation
    level: float

    def count(self, family: Family) -> int | None:
        """How many groups of a family it takes."""

        def reaches(count: int) -> bool:
            return self.simulation.outputs_db(family.first(count)) >= self.level - _SPARE_DB

        return _smallest(len(family.groups) - 1, reaches)

    def refined(self, names: Names) -> Names:
        """Without those whose return to int8 costs nothing: where a rank misled, and where all that
        is round an operator is int8, so that it would compute the same.
        """
        least = min(self.level, self.simulation.outputs_db(names)) - _SPARE_DB
        size = max(1, -(-len(names) // _REFINEMENTS))
        kept = names
        for start in range(len(names) - size, -size, -size):
            chunk = set(names[max(start, 0) : start + size])
            fewer = tuple(name for name in kept if name not in chunk)
            if fewer and self.simulation.outputs_db(fewer) >= least:
                kept = fewer
        return kept


def _attempts(family: Family, count: int | None, enough: _Enough) -> Iterator[Names]:
    """The first `count` groups without what they can spare, and with it; then some more groups."""
    for _ in range(_RETRIES):
        if count is None or count >= len(family.groups):
            return
        names = family.first(count)
        refined = enough.refined(names)
        yield refined
        if refined != names:
            yield names
        count += max(1, count // 4)


def _smallest(limit: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number from 1 to `limit` for which it holds, if it does for all above: by steps
    that double and then by bisection, because it is small as a rule and small ones are wanted.
    """
    low, high = 0, 1
    while high < limit and not holds(high):
        low, high = high, high * 2
    if high >= limit:
        high = limit
        if limit < 1 or not holds(limit):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
