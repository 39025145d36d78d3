"""Where a latency is measured: all of it that decides what a file takes, for the keys of what is
kept. Without what makes files, because that takes seconds to import.
"""

from pydantic import JsonValue

from edgecompress.measure.notes import is_emulated
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.measuring import on_device
from edgecompress.runtimes import runtime
from edgecompress.spec.device import Device
from edgecompress.spec.latency import unmeasured
from edgecompress.spec.measurement import Probe


def probed(job: Job) -> tuple[Device, Probe]:
    """The device that measures for pruning, and what it says of itself.

    Raises:
        SpecError: there is none whose latencies say anything.
        DeviceError: it cannot be reached.

    """
    device, name = job.device, job.recipe.target.name
    if device is None or device.emulated:
        raise unmeasured(name, device)
    with on_device(job, device) as connected:
        probe = connected.agent.probe()
    if is_emulated(probe):
        raise unmeasured(name, device)
    return device, probe


def circumstances(job: Job, device: Device, probe: Probe) -> dict[str, JsonValue]:
    """What a file of a target runs in on a device; which file it is comes beside that."""
    target = job.recipe.target
    known = runtime(target.runtime.name)
    packages = {package.name for package in known.needs.packages}
    versions = {name: at for name, at in probe.versions.items() if name in packages}
    options: dict[str, JsonValue] = dict(known.options(target))
    told: dict[str, JsonValue] = dict(versions if versions else probe.versions)
    return {
        "device": device.id,
        "cpu": [probe.machine, probe.cpu_model],
        "versions": told,
        "options": options,
        "target": target.model_dump(
            mode="json", include={"runtime", "edges", "float_dtype", "gpu"}
        ),
    }
