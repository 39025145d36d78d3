"""How much longer each operator takes in float than in int8, by the runtime's own counters."""

from collections import defaultdict
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.measure.agent import Agent
from edgecompress.measure.profile import count_operators
from edgecompress.measure.turns import Session
from edgecompress.pipeline.executable import FloatModel, Int8Model
from edgecompress.pipeline.files import exported_file
from edgecompress.pipeline.float_sets import Aim
from edgecompress.pipeline.measuring import Connected, choosing_for, on_device
from edgecompress.pipeline.profiling import joined
from edgecompress.pipeline.stages import Output
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import Inspection

_LEAST = 0.1
"""The least share of its time in float that an operator costs there, because its int8 neighbours
pay for what has to be converted.
"""


def float_times_us(aim: Aim, device: Device | None, here: Agent) -> dict[str, float]:
    """What one operator more in float costs on the device, by the module that it is; of those that
    the runtime counts in both files. Nothing where no device is at hand, or none that counts.

    An earlier figure will do for a choice, and a choice that changed with every run would redo all
    that follows it.
    """
    job = aim.job
    target = job.recipe.target
    if device is None or device.emulated or target.runtime.capabilities.builds_engine:
        return {}
    files = {
        "int8": exported_file(job, Int8Model(job, aim.point)),
        "float": exported_file(job, FloatModel(job, aim.before)),
    }

    def work(_: Path) -> Output:
        with on_device(job, device) as connected:
            seen = {name: _timed(aim, connected, here, file) for name, (_, file) in files.items()}
        return Output(dict(extra_us(seen["int8"], seen["float"])))

    depends_on = job.depends_on(
        files=[key for key, _ in files.values()],
        device=device.model_dump(mode="json"),
        threads=target.runtime.threads,
    )
    record = job.stages.run("time operators", depends_on, work)
    return {name: float(str(value)) for name, value in record.result.items()}


def _timed(aim: Aim, connected: Connected, here: Agent, file: Artifact) -> Inspection:
    job, target = aim.job, aim.job.recipe.target
    protocol, threads = choosing_for(target, connected.device), target.runtime.threads
    session = Session(connected.agent, protocol, threads, job.measured_inputs, memory=False)
    loaded = connected.prepare(target, file)
    counting = count_operators(session.agent, loaded, session.inputs, threads)
    inspection = job.runtime.inspect(file, target, here, job.agent_dir)
    return joined(counting, loaded.runner, inspection)[0]


def extra_us(integer: Inspection, floating: Inspection) -> dict[str, float]:
    """Each module's time in the float file, less that in the int8 file."""
    before, after = _by_module(integer), _by_module(floating)
    return {
        module: max(after[module] - time_us, _LEAST * after[module])
        for module, time_us in before.items()
        if after.get(module, 0.0) > 0
    }


def _by_module(inspection: Inspection) -> dict[str, float]:
    times_us: dict[str, float] = defaultdict(float)
    for op in inspection.ops:
        if op.module and op.time_us is not None:
            times_us[op.module] += op.time_us
    return dict(times_us)
