"""The stage that needs the device: baseline and candidate, in turns."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from edgecompress.artifact import Artifact
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent import BUILD_S, Agent, DeviceAgent
from edgecompress.measure.compare import compare, measure_file
from edgecompress.measure.tensors import write_npz
from edgecompress.pipeline.files import Built
from edgecompress.pipeline.formats import inspect_for
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.single import agent_over
from edgecompress.pipeline.stages import Output
from edgecompress.progress import Transfer
from edgecompress.push import Board, held, make_folders
from edgecompress.spec.device import Device
from edgecompress.spec.engine import EngineFlags
from edgecompress.spec.measurement import Comparison, Inspection
from edgecompress.spec.target import MeasurementProtocol, Target
from edgecompress.transport import connect

REHEARSAL = MeasurementProtocol(turns=1, warmup_iterations=1, min_iterations=5, min_duration_s=0.01)
STRONGLY_TYPED_FROM = (10, 0)
WORKSPACE_BYTES = 1 << 30
"""What TensorRT may use while it builds; the smallest Jetson shares 4 GB with everything else."""
MARGIN_S = 60.0
"""How much longer than a command's deadline a device may seem silent to others."""

Tick = Callable[[], None]
"""Called before each command of the agent, so that others know that the device is in use."""


class There(NamedTuple):
    """What only the device can tell."""

    comparison: Comparison
    inspection: Inspection
    """The candidate's: by the graph that the device's own runtime makes, where it makes one."""
    notes: tuple[str, ...] = ()
    """What had to be tried once more there."""


def look_there(
    job: Job,
    device: Device,
    agent: DeviceAgent,
    baseline: Built,
    candidate: Built,
    tick: Tick,
) -> There:
    """Which kernels the candidate gets on the device, and how fast it is; nothing is cached."""
    tick()
    inspection = candidate.inspection
    if device.transport != "local" and isinstance(agent, Agent):
        inspection = inspect_for(candidate.artifact, job.recipe.target, agent, job.agent_dir)
    comparison = _in_turns(job, device, agent, baseline, candidate, tick)
    return There(comparison, inspection, tuple(agent.retried))


def _in_turns(
    job: Job,
    device: Device,
    agent: DeviceAgent,
    baseline: Built,
    candidate: Built,
    tick: Tick,
) -> Comparison:
    """Now: a latency belongs to its run and is never cached."""
    started = time.monotonic()
    target, progress = job.recipe.target, job.stages.progress
    with progress.stage("measure"):
        protocol = protocol_for(target, device)
        total, done = 2 * protocol.turns, 0

        def on_turn(name: str, number: int, _: object) -> None:
            nonlocal done
            done += 1
            progress.step(done, total, f"{name}, turn {number}")
            tick()

        comparison = compare(
            agent,
            device.id,
            baseline.artifact,
            candidate.artifact,
            _inputs(job),
            protocol,
            target.runtime.threads,
            on_turn,
            engines_of(target),
            device.emulated,
        )
    job.stages.note("measure", time.monotonic() - started, cached=False)
    return comparison


def quiet_s(target: Target, deadline_s: float = DEADLINE_S) -> float:
    """How long others may hear nothing, at most, while one command is at work on the device."""
    builds_s = 0.0 if engines_of(target) is None else BUILD_S
    return deadline_s + builds_s + MARGIN_S


def protocol_for(target: Target, device: Device) -> MeasurementProtocol:
    """The target's, but no longer than it takes to see it work where the figures say nothing."""
    return REHEARSAL if device.emulated else target.measurement


def engines_of(target: Target) -> dict[str, EngineFlags] | None:
    """How the device builds what is measured: the original in float32, as it was trained."""
    if target.runtime.name != "tensorrt":
        return None
    baseline = EngineFlags(
        fp16=False,
        sparse_weights=False,
        strongly_typed=target.runtime.release >= STRONGLY_TYPED_FROM,
        workspace_bytes=WORKSPACE_BYTES,
    )
    wanted = {
        # What stays in float is float16 in the graph; TensorRT 8 must be allowed it as well.
        "fp16": target.float_dtype == "float16" and not baseline.strongly_typed,
        "sparse_weights": "2:4" in target.sparsity,
    }
    return {"baseline": baseline, "candidate": baseline.model_copy(update=wanted)}


def measure_halfway(job: Job, device: Device, built: Built) -> float:
    """p50 of the float model between, for the chart alone, so that an earlier one will do."""
    target, progress = job.recipe.target, job.stages.progress
    protocol = protocol_for(target, device)

    def work(_: Path) -> Output:
        with on_device(job, device) as (agent, tick):

            def on_turn(name: str, number: int, _: object) -> None:
                progress.step(number, protocol.turns, f"{name}, turn {number}")
                tick()

            threads = target.runtime.threads
            measured = measure_file(agent, built.artifact, _inputs(job), protocol, threads, on_turn)
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
    protocol = protocol_for(target, device)
    once = protocol.model_copy(update={"turns": 1})
    found: dict[str, list[float]] = {name: [] for name in files}
    with on_device(job, device) as (agent, tick):
        inputs, total, done = _inputs(job), protocol.turns * len(files), 0
        for _ in range(protocol.turns):
            for name, file in files.items():
                tick()
                threads = target.runtime.threads
                measured = measure_file(agent, file, inputs, once, threads, lambda *_: None)
                found[name].append(measured.latency_ms_p50)
                done += 1
                progress.step(done, total, f"set {name}")
    return {name: median(values) for name, values in found.items()}


@contextmanager
def on_device(job: Job, device: Device) -> Iterator[tuple[DeviceAgent, Tick]]:
    """While open, the device is connected, and nobody else pushes to it or measures there."""
    target, progress = job.recipe.target, job.stages.progress
    with connect(device, job.agent_dir) as transport:
        agent = agent_over(transport, device, target)
        if device.transport == "local":
            # It works in a folder of this run, and nothing of it is left anywhere else.
            yield agent, lambda: None
            return
        transport.moved = Transfer(lambda _, __, text: progress.step(0, 0, text))
        board = Board(transport, device=device.id)
        board.retried(lambda: make_folders(board))
        with held(board, progress.note) as lock:
            tick = partial(lock.renew, quiet_s(target))
            tick()
            yield agent, tick


def _inputs(job: Job) -> Path:
    """The arrays of one inference."""
    path = job.agent_dir / "inputs.npz"
    write_npz(path, {f"input_{i}": x.numpy() for i, x in enumerate(job.example_inputs)})
    return path
