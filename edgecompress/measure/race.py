"""Files that race on one device: round after round, until those that are left are alike."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from edgecompress.errors import AgentError, ArtifactError, TaskError
from edgecompress.measure.elimination import leavers
from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.statistics import costs_of_round
from edgecompress.measure.turns import Lane, try_turns
from edgecompress.measure.validity import Rules, turn_fault
from edgecompress.spec.measurement import Turn

AGAIN = 1
"""How often a round in which something befell a turn is taken again, at most."""

OnRound = Callable[[int, Sequence[str]], None]
"""Called before each round: its number, from 1, and who runs in it."""


@dataclass
class Ran:
    """How one file ran."""

    costs_ms: list[float] = field(default_factory=list)
    """A turn's median latency, by round."""
    disturbed: bool = False
    """Whether something befell its last turn, and again when it was taken again."""
    taken: int = 0
    """Turns, with those that were taken again."""
    failure: str | None = None
    """Why it could not run, or not on."""
    left_early: bool = False

    @property
    def latency_ms(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.costs_ms))


def race(heats: Sequence[Mapping[str, Lane]], rounds: int, on_round: OnRound) -> dict[str, Ran]:
    """Measure files in rounds of one turn each; who is shown to be slower leaves.

    Args:
        heats: the files by name, all on one device. They run side by side, and leave because of
            those of their own heat alone, so that the fastest of each is found.
        rounds: how many there are at most.
        on_round: told before each round.

    Returns:
        How each ran. One that the runtime does not take has a failure, and holds nobody up.

    Raises:
        DeviceError: the device, or the way to it.

    """
    lanes = {name: lane for heat in heats for name, lane in heat.items()}
    ran = {name: Ran() for name in lanes}
    running = list(lanes)
    with ExitStack() as stack:
        inputs: dict[str, Path] = {}
        for name in lanes:
            _keep(ran[name], partial(_prepare, name, lanes[name], inputs, stack))
        beside = True
        for number in range(1, rounds + 1):
            running = [name for name in running if ran[name].failure is None]
            names = running if number % 2 else running[::-1]
            if names:
                on_round(number, names)
                # A board without the memory for all of them at once lacks it in the next round too.
                beside = _round({name: lanes[name] for name in names}, inputs, ran, beside=beside)
            running = [name for name in running if ran[name].failure is None]
            if number < rounds:
                running = [name for heat in heats for name in _left(heat, running, ran, rounds)]
    return ran


def _left(
    heat: Mapping[str, Lane], running: Sequence[str], ran: Mapping[str, Ran], rounds: int
) -> list[str]:
    """Who of a heat runs on; none where only one could, who has nobody to be held against."""
    names = [name for name in running if name in heat]
    if len(names) < 2:
        return []
    logs = np.log([ran[name].costs_ms for name in names]).T
    gone = {names[index] for index in leavers(logs, rounds, len(heat))}
    if len(logs) == 1:
        # A lone turn that was disturbed says nothing.
        gone = {name for name in gone if not ran[name].disturbed}
    for name in gone:
        ran[name].left_early = True
    left = [name for name in names if name not in gone]
    return left if len(left) > 1 else []


def _prepare(name: str, lane: Lane, inputs: dict[str, Path], stack: ExitStack) -> None:
    inputs |= stack.enter_context(inputs_of({name: lane.file}, lane.session.inputs))


def _round(
    lanes: Mapping[str, Lane], inputs: Mapping[str, Path], ran: Mapping[str, Ran], *, beside: bool
) -> bool:
    """A turn of each, all of them again if something befell one; whether they ran side by side."""
    turns: dict[str, Turn] = {}
    for _ in range(1 + AGAIN):
        turns = _turns(lanes, inputs, ran, beside=beside)
        for name, turn in turns.items():
            session = lanes[name].session
            rules = Rules(session.protocol, session.agent.probe().cores)
            ran[name].disturbed = turn_fault(turn, rules) is not None
        if not any(ran[name].disturbed for name in turns):
            break
    for name, each_ms in costs_of_round(turns).items():
        ran[name].costs_ms.append(each_ms)
    return beside and any(turn.bursts_ms is not None for turn in turns.values())


def _turns(
    lanes: Mapping[str, Lane], inputs: Mapping[str, Path], ran: Mapping[str, Ran], *, beside: bool
) -> dict[str, Turn]:
    """Those of the files that the runtime takes."""
    asked = {name: lane for name, lane in lanes.items() if ran[name].failure is None}
    turns = {}
    for name, found in try_turns(asked, inputs, beside=beside).items() if asked else ():
        ran[name].taken += 1
        if isinstance(found, Turn):
            turns[name] = found
        else:
            ran[name].failure = str(found)
    return turns


def _keep(ran: Ran, work: Callable[[], None]) -> None:
    """Do it; what a runtime makes of one file is that file's failure."""
    try:
        work()
    except (AgentError, ArtifactError, TaskError) as error:
        ran.failure = str(error)
