"""A turn of each of several files: side by side where the device can, else one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecompress.errors import AgentError, ArtifactError
from edgecompress.measure.agent import Agent, DeviceAgent
from edgecompress.measure.agent_answer import Answer, killed, result_of
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.loaded import Loaded
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import MeasurementProtocol

OnTurn = Callable[[str, int, Turn], None]
"""Called after each turn: 'baseline', 'candidate' or, for one alone, 'file'; number from 1; it."""

LONGEST_MS = 1e9
"""Eleven days; none is 0 or less either."""


@dataclass(frozen=True)
class Session:
    """How files are measured on one device."""

    agent: DeviceAgent
    protocol: MeasurementProtocol
    """How long, and how many turns."""
    threads: int
    """How many threads the runtime has."""
    inputs: Inputs
    """The samples that every file is given."""
    on_turn: OnTurn = lambda *_: None
    """Told of each finished turn."""
    memory: bool = True
    """Whether memory is asked for too, which takes a process more for each file."""


@dataclass(frozen=True)
class Lane:
    """A file that is measured, and how; files in several runtimes may differ in it."""

    session: Session
    file: Loaded


def measure_turn(session: Session, file: Loaded, inputs: Path) -> Turn:
    """One file in one fresh process; `inputs` is the file's own, of `inputs_of`.

    Raises:
        AgentError: its latencies cannot be.
        ArtifactError: the file is not the one described, or the runtime cannot read it.
        DeviceError: the device, its runtime, or the way to it.

    """
    agent = session.agent
    return _possible(agent, file, agent.measure(file, session.threads, inputs, session.protocol))


def measure_turns(
    lanes: Mapping[str, Lane], inputs: Mapping[str, Path], *, beside: bool
) -> dict[str, Turn]:
    """One turn of each file, as by `try_turns`.

    Raises:
        AgentError, ArtifactError, DeviceError: as in `measure_turn`, of the first that fails.

    """
    turns = {}
    for name, found in try_turns(lanes, inputs, beside=beside).items():
        if not isinstance(found, Turn):
            raise found
        turns[name] = found
    return turns


def try_turns(
    lanes: Mapping[str, Lane], inputs: Mapping[str, Path], *, beside: bool
) -> dict[str, Turn | AgentError | ArtifactError]:
    """One turn of each file, each in a fresh process, or why there is none.

    Args:
        lanes: on one device and by one protocol, in the order in which they begin.
        inputs: as for `measure_turn`, by name.
        beside: run them side by side, burst by burst, where the protocol and the device allow it;
            see devices/agent/together.py.

    Raises:
        DeviceError: the device, its runtimes, or the way to it.

    """
    protocol = next(iter(lanes.values())).session.protocol
    if beside and protocol.in_bursts and len(lanes) > 1:
        found = [lane.session.agent.python_agent for lane in lanes.values()]
        agents = [agent for agent in found if agent is not None]
        if len(agents) == len(lanes):
            return _together(lanes, inputs, agents)
    return {
        name: _tried(partial(measure_turn, lane.session, lane.file, inputs[name]))
        for name, lane in lanes.items()
    }


def _tried(work: Callable[[], Turn]) -> Turn | AgentError | ArtifactError:
    try:
        return work()
    except (AgentError, ArtifactError) as error:
        return error


def _together(
    lanes: Mapping[str, Lane], inputs: Mapping[str, Path], agents: Sequence[Agent]
) -> dict[str, Turn | AgentError | ArtifactError]:
    asked = [
        agent.measuring(lane.file, lane.session.threads, inputs[name], lane.session.protocol)
        for agent, (name, lane) in zip(agents, lanes.items(), strict=True)
    ]
    longest_s = sum(lane.session.protocol.longest_s for lane in lanes.values())
    first, where = agents[0], f"{agents[0].transport.name}: agent together"
    answers = first.together(asked, longest_s)
    if any(killed(answer) for answer in answers):
        first.retried.append(f"{where}: a program there was killed; all were tried once more")
        answers = first.together(asked, longest_s)
    if len(answers) != len(lanes):
        raise AgentError(f"{where}: it measured other files than asked")
    triples = zip(agents, lanes.items(), answers, strict=True)
    return {
        name: _tried(partial(_read, agent, lane.file, answer))
        for agent, (name, lane), answer in triples
    }


def _read(agent: Agent, file: Loaded, answer: Answer) -> Turn:
    where = f"{agent.transport.name}: agent measure {file.name}"
    turn = result_of(answer, Turn, where, file.name)
    agent.check_model(file, turn.model_sha256)
    return _possible(agent, file, turn)


def _possible(agent: DeviceAgent, file: Loaded, turn: Turn) -> Turn:
    told = [*turn.central_ms, *(() if turn.bursts_ms is None else turn.bursts_ms)]
    if not turn.central_ms or not all(0 < ms < LONGEST_MS for ms in told):
        raise AgentError(
            f"{agent.transport.name}: a turn of {file.file.name} has no latencies, or some that"
            " cannot be; the device's clock or its answer is wrong"
        )
    return turn
