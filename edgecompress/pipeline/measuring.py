"""The stage that needs the device: baseline and candidate, in turns."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

from edgecompress.artifact import Artifact
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent import BUILD_S, DeviceAgent
from edgecompress.measure.compare import Rival, compare, measure_file
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.turns import Lane, Session
from edgecompress.pipeline.files import Built
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.profiling import profiled
from edgecompress.pipeline.single import agent_over
from edgecompress.pipeline.stages import Output
from edgecompress.progress import Transfer
from edgecompress.push import Board, held, make_folders
from edgecompress.runtimes import runtime
from edgecompress.spec.comparison import Comparison, RivalKind
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.profile import Profile
from edgecompress.spec.protocol import MeasurementProtocol, Standard
from edgecompress.spec.target import Target
from edgecompress.transport import Transport, connect

REHEARSAL = Standard(
    turns=1, warmup_iterations=1, max_warmup_s=0.0, min_iterations=5, min_duration_s=0.01
)
MARGIN_S = 60.0
"""How much longer than a command's deadline a device may seem silent to others."""


class Tick(Protocol):
    """Called before each command of the agent, so that others know that the device is in use."""

    def __call__(self, files: int = 1) -> None:
        """`files`: how many the command measures."""


class DeviceFindings(NamedTuple):
    """What only the device can tell."""

    comparison: Comparison
    inspection: Inspection
    """What the candidate's operators are in the graph that the device's own runtime makes, where it
    makes one."""
    notes: tuple[str, ...] = ()
    """What had to be tried once more there."""
    baseline_profile: Profile | None = None
    candidate_profile: Profile | None = None
    """Where their time goes; None: the device is emulated."""


@dataclass(frozen=True)
class Connected:
    """A device that is at hand, and that nobody else pushes to or measures on meanwhile."""

    device: Device
    agent: DeviceAgent
    """That of the target that it was connected for."""
    tick: Tick
    transport: Transport

    def on(self, target: Target) -> "Connected":
        """The same, for another target of the board."""
        return replace(self, agent=agent_over(self.transport, self.device, target))

    def prepare(self, target: Target, artifact: Artifact, *, original: bool = False) -> Loaded:
        """Get a file ready there; errors as in `DeviceAgent.prepare`."""
        self.tick()
        preparation = runtime(target.runtime.name).preparation(target, original=original)
        return self.agent.prepare(artifact, preparation)


class RivalFile(NamedTuple):
    """A file that is measured beside baseline and candidate; see `compare.Rival`."""

    kind: RivalKind
    name: str
    target: Target
    file: Artifact
    original: bool
    """Whether it is the user's own model."""


def measure_on(
    job: Job,
    connected: Connected,
    baseline: Built,
    candidate: Built,
    rivals: Sequence[RivalFile] = (),
) -> DeviceFindings:
    """Which kernels the candidate gets on the device, and how fast it is; nothing is cached."""
    connected.tick()
    agent, target, inspection = connected.agent, job.recipe.target, candidate.inspection
    loaded = connected.prepare(target, candidate.artifact)
    writer = agent.python_agent
    if connected.device.transport != "local" and writer is not None:
        inspection = job.runtime.inspect_there(loaded, target, writer, job.agent_dir)
    original = connected.prepare(target, baseline.artifact, original=True)
    # These are measured anyway; in another runtime the same file is another rival.
    measured = {(target.name, built.artifact.sha256) for built in (baseline, candidate)}
    others = [one for one in rivals if (one.target.name, one.file.sha256) not in measured]
    files = _Files(baseline, original, loaded, others)
    session, comparison = _in_turns(job, connected, files)
    findings = DeviceFindings(comparison, inspection, tuple(agent.retried))
    if comparison.emulated:
        return findings
    with job.stages.progress.stage("profile"):
        return _with_profiles(session, files, findings, connected.tick)


class _Files(NamedTuple):
    """As the device runs them."""

    built: Built
    """The baseline, as it is known here."""
    baseline: Loaded
    candidate: Loaded
    rivals: Sequence[RivalFile]


def _in_turns(job: Job, connected: Connected, files: _Files) -> tuple[Session, Comparison]:
    """Measure both files now: a latency belongs to its run and is never cached."""
    target, progress, inputs = job.recipe.target, job.stages.progress, job.measured_inputs
    started = time.monotonic()
    with progress.stage("measure"):
        protocol = protocol_for(target, connected.device)
        count = 2 + len(files.rivals)
        total, done = count * protocol.turns, 0
        connected.tick(count)

        def on_turn(name: str, number: int, _: object) -> None:
            nonlocal done
            done += 1
            progress.step(done, max(done, total), f"{name}, turn {number}")
            connected.tick(count)

        session = Session(connected.agent, protocol, target.runtime.threads, inputs, on_turn)
        rivals = [_rival(one, connected, session) for one in files.rivals]
        comparison = compare(session, files.baseline, files.candidate, connected.device, rivals)
    job.stages.note("measure", time.monotonic() - started, cached=False)
    return session, comparison


def _rival(one: RivalFile, connected: Connected, session: Session) -> Rival:
    there, threads = connected.on(one.target), one.target.runtime.threads
    lane = Lane(
        replace(session, agent=there.agent, threads=threads),
        there.prepare(one.target, one.file, original=one.original),
    )
    return Rival(one.kind, one.name, one.target.name, lane)


def lane_of(target: Target, file: Loaded, connected: Connected, inputs: Inputs) -> Lane:
    """A file of a target, as it races on the device."""
    protocol = protocol_for(target, connected.device).racing
    return Lane(Session(connected.agent, protocol, target.runtime.threads, inputs), file)


def _with_profiles(
    session: Session, files: _Files, found: DeviceFindings, tick: Tick
) -> DeviceFindings:
    """The same, and where the time of both files goes; `tick`: as in Connected."""
    tick()
    before, after = found.comparison.baseline, found.comparison.candidate
    _, baseline = profiled(session, files.baseline, files.built.inspection, before.latency_ms_p50)
    tick()
    inspection, candidate = profiled(
        session, files.candidate, found.inspection, after.latency_ms_p50
    )
    return found._replace(
        inspection=inspection, baseline_profile=baseline, candidate_profile=candidate
    )


def quiet_s(target: Target, deadline_s: float = DEADLINE_S, files: int = 1) -> float:
    """How long others may hear nothing, at most, while one command is at work on the device."""
    builds_s = BUILD_S if target.runtime.capabilities.builds_engine else 0.0
    return files * (deadline_s + target.measurement.longest_s) + builds_s + MARGIN_S


def protocol_for(target: Target, device: Device) -> MeasurementProtocol:
    """The target's protocol; a short one on an emulated device, whose figures say nothing."""
    return REHEARSAL if device.emulated else target.measurement


def choosing_for(target: Target, device: Device) -> MeasurementProtocol:
    """The protocol by which files are picked there."""
    return protocol_for(target, device).choosing


def measure_halfway(job: Job, device: Device, built: Built) -> float | None:
    """p50 of the float model between, for the chart alone, so that an earlier one will do; None
    where the device would have to build an engine for it, which takes minutes.
    """
    if job.runtime.capabilities.builds_engine:
        return None
    target, progress, inputs = job.recipe.target, job.stages.progress, job.measured_inputs
    protocol = choosing_for(target, device)

    def work(_: Path) -> Output:
        with on_device(job, device) as connected:

            def on_turn(name: str, number: int, _: object) -> None:
                progress.step(number, max(number, protocol.turns), f"{name}, turn {number}")
                connected.tick()

            threads = target.runtime.threads
            session = Session(connected.agent, protocol, threads, inputs, on_turn, memory=False)
            measured = measure_file(session, connected.prepare(target, built.artifact))
        return Output({"latency_ms_p50": measured.latency_ms_p50})

    depends_on = job.depends_on(
        parent=built.key,
        device=device.model_dump(mode="json"),
        protocol=protocol.model_dump(mode="json"),
        threads=target.runtime.threads,
    )
    record = job.stages.run("measure fine-tuned", depends_on, work)
    return float(str(record.result["latency_ms_p50"]))


def measure_files(job: Job, device: Device, files: dict[str, Artifact]) -> dict[str, float]:
    """p50 of each, in turns: the median over as many turns as the target wants."""
    target, progress = job.recipe.target, job.stages.progress
    protocol = choosing_for(target, device)
    once = protocol.model_copy(update={"turns": 1})
    latencies_ms: dict[str, list[float]] = {name: [] for name in files}
    with on_device(job, device) as connected:
        threads = target.runtime.threads
        session = Session(connected.agent, once, threads, job.measured_inputs, memory=False)
        loaded = {name: connected.prepare(target, file) for name, file in files.items()}
        total, done = protocol.turns * len(files), 0
        for _ in range(protocol.turns):
            for name, file in loaded.items():
                connected.tick()
                measured = measure_file(session, file)
                latencies_ms[name].append(measured.latency_ms_p50)
                done += 1
                progress.step(done, total, f"set {name}")
    return {name: median(values) for name, values in latencies_ms.items()}


def _nobody_else(files: int = 1) -> None:
    """A Tick where nobody else can use the device."""


@contextmanager
def on_device(job: Job, device: Device) -> Iterator[Connected]:
    """While open, the device is connected, and nobody else pushes to it or measures there."""
    target, progress = job.recipe.target, job.stages.progress
    with connect(device, job.agent_dir) as transport:
        agent = agent_over(transport, device, target)
        if device.transport == "local":
            # It works in a folder of this run, and nothing of it is left anywhere else.
            yield Connected(device, agent, _nobody_else, transport)
            return
        transport.moved = Transfer(lambda _, __, text: progress.step(0, 0, text))
        board = Board(transport, device=device.id)
        board.retried(lambda: make_folders(board))
        with held(board, progress.note) as lock:

            def tick(files: int = 1) -> None:
                lock.renew(quiet_s(target, files=files))

            tick()
            yield Connected(device, agent, tick, transport)
