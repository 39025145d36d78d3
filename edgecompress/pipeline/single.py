"""Commands on one file: inspect, measure, evaluate; here, with the agent, without a run."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.errors import AgentError, SpecError
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent import Agent, DeviceAgent, Kernels
from edgecompress.measure.compare import compare
from edgecompress.measure.compare import measure_file as measure_alone
from edgecompress.measure.inputs import Inputs, enough
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.profile import count_operators
from edgecompress.measure.tensors import random_inputs
from edgecompress.measure.turns import Session
from edgecompress.pipeline.formats import describe_file, inspect_for, target_for
from edgecompress.pipeline.profiling import joined
from edgecompress.progress import Progress
from edgecompress.runtimes import formats, runtime
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_deploy
from edgecompress.spec.measurement import Evaluation, Inspection, Measurement
from edgecompress.spec.target import Target, measured_by
from edgecompress.transport import Transport, connect

if TYPE_CHECKING:
    from edgecompress.measure.parts import Rebuild
    from edgecompress.task import Task

HERE = Device(id="this-machine", target="local", transport="local")


def agent_on(device: Device, folder: Path) -> Agent:
    """The agent on this machine; `folder` is where it works."""
    return Agent(connect(device, folder), device.interpreter)


def agent_over(
    transport: Transport, device: Device, target: Target, deadline_s: float = DEADLINE_S
) -> DeviceAgent:
    """What measures and infers on a device for a target; `deadline_s`: for one command there."""
    if device.transport == "adb":
        return runtime(target.runtime.name).phone_agent(transport, device, target, deadline_s)
    return Agent(transport, device.interpreter, deadline_s)


def loaded_here(artifact: Artifact, target: Target | None = None) -> Loaded:
    """A file as this machine runs it: on the target's runtime, where that reads such files."""
    wanted = None if target is None else runtime(target.runtime.name)
    if wanted is None or wanted.format.name != artifact.format:
        wanted, target = formats()[artifact.format][1], None
    prepared = wanted.here(target)
    return Loaded(artifact, prepared.runner, options=prepared.options)


def reference_kernels(target: Target) -> Kernels:
    """Those that say what a target's file means: plain ones, where its runner here has any."""
    runner = runtime(runtime(target.runtime.name).runner_here)
    return "reference" if runner.capabilities.reference_kernels else "default"


def inspect_file(
    file: Path, target: str | None = None, targets: Path | None = None, *, time: bool = False
) -> Inspection:
    """Every op that the runtime runs for a file.

    Args:
        file: of a format that is known.
        target: by whose rules, a target's name or a board's; None: the kernels of this machine.
        targets: the folder of deploy.yaml, whose own targets are known too.
        time: let the runtime count the time of each here, on made up inputs.

    Raises:
        ArtifactError: the file is missing, damaged, or of no format that is known.
        SpecError: there is no such target, or its runtime does not run files of this format.
        DeviceError: the runtime is not installed here, or does not count.

    """
    artifact = describe_file(file)
    wanted = None if target is None else target_for(artifact, target, targets)
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        agent = agent_on(HERE, Path(folder))
        inspection = inspect_for(artifact, wanted, agent, Path(folder))
        return _with_times(agent, artifact, wanted, inspection) if time else inspection


def _with_times(
    agent: Agent, artifact: Artifact, target: Target | None, inspection: Inspection
) -> Inspection:
    loaded = loaded_here(artifact, target)
    if target is not None and loaded.runner != target.runtime.name:
        raise SpecError(
            f"target '{target.name}' runs {target.runtime.name}, and this machine has"
            f" {loaded.runner} in its place: no time can be counted here; leave --time out"
        )
    threads = 1 if target is None else target.runtime.threads
    counting = count_operators(agent, loaded, _random(artifact), threads)
    if counting.why_none is not None:
        raise AgentError(f"{artifact.path}: no time of operators: {counting.why_none}")
    return joined(counting, loaded.runner, inspection)[0]


@dataclass(frozen=True)
class HowMeasured:
    """As a target says, or otherwise for once."""

    target: str
    threads: int | None = None
    """None: as many as the target says."""
    protocol: str | None = None
    """The name of another than the target's; None: the target's."""


def measure_file(
    file: Path, against: Path | None, how: HowMeasured, progress: Progress
) -> Measurement | Comparison:
    """Latency and memory of a file on this machine; with `against`, of both in turns.

    Raises:
        ArtifactError, SpecError, DeviceError: as in `inspect_file`.

    """
    candidate = describe_file(file)
    wanted = measured_by(target_for(candidate, how.target), how.protocol)
    baseline = None if against is None else describe_file(against)
    threads = wanted.runtime.threads if how.threads is None else how.threads
    protocol = wanted.measurement
    total = protocol.turns * (1 if baseline is None else 2)
    with (
        tempfile.TemporaryDirectory(prefix="edgecompress-") as folder,
        progress.stage("measure"),
    ):
        agent = agent_on(HERE, Path(folder))
        inputs = _random(candidate)
        done = 0

        def on_turn(name: str, number: int, _: object) -> None:
            nonlocal done
            done += 1
            progress.step(done, max(done, total), f"{name}, turn {number}")

        session = Session(agent, protocol, threads, inputs, on_turn)
        if baseline is None:
            return measure_alone(session, loaded_here(candidate, wanted))
        original = loaded_here(baseline, wanted)
        return compare(session, original, loaded_here(candidate, wanted), HERE)


def _random(artifact: Artifact) -> Inputs:
    """Made up, because a file alone has no data."""
    first = tuple(random_inputs(artifact, seed=0))
    others = (tuple(random_inputs(artifact, seed)) for seed in range(1, enough(first)))
    return Inputs((first, *others), "random")


def evaluate_file(file: Path, config: Path, progress: Progress) -> Evaluation:
    """The metric of a file on the task of a deploy.yaml, computed from its runtime's outputs.

    Raises:
        BadInput: the file, deploy.yaml, or the task.
        DeviceError: the runtime is not installed here.

    """
    # These import torch, which inspect and measure do without.
    from edgecompress.pipeline.loading import load_scored
    from edgecompress.pipeline.outputs import rebuilder_for

    artifact = describe_file(file)
    task, model = load_scored(load_deploy(config), config.parent)
    rebuild = rebuilder_for(task, model, task.example_inputs(), artifact)
    return evaluate_by(task, artifact, rebuild, progress)


def evaluate_by(
    task: "Task", artifact: Artifact, rebuild: "Rebuild | None", progress: Progress
) -> Evaluation:
    """The metric of a file on a guarded task; `rebuild`: as in `edgecompress.measure.evaluate`.

    Raises:
        BadInput, DeviceError: as in `evaluate_file`.

    """
    from edgecompress.measure.evaluate import Runs, evaluate

    with (
        tempfile.TemporaryDirectory(prefix="edgecompress-") as folder,
        progress.stage("evaluate"),
    ):
        agent = agent_on(HERE, Path(folder))
        return evaluate(
            Runs(agent, loaded_here(artifact), Path(folder)),
            task,
            lambda done: progress.step(done, 0, f"{done} samples"),
            rebuild,
        )
