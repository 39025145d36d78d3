"""The memory of a file, apart from its latency: watching it would cost the inferences time."""

from edgecompress.measure.agent import DeviceAgent
from edgecompress.measure.inputs import Inputs, inputs_of
from edgecompress.measure.loaded import Loaded
from edgecompress.spec.measurement import Measurement


def with_memory(
    agent: DeviceAgent, file: Loaded, inputs: Inputs, measured: Measurement
) -> Measurement:
    """The measurement with the memory of the same file; as it is, where the device has no agent
    that watches it, and its turns tell all that is known.

    Raises:
        ArtifactError, TaskError, DeviceError: as in `compare`.

    """
    threads = measured.turns[0].threads
    with inputs_of({"file": file}, inputs) as paths:
        memory = agent.usage(file, threads, paths["file"])
    if memory is None:
        return measured
    return measured.model_copy(update={"memory": memory, "peak_rss_bytes": memory.peak_rss_bytes})
