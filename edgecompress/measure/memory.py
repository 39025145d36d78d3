"""The memory of a file, apart from its latency: watching it would cost the inferences time."""

from edgecompress.errors import AgentError
from edgecompress.measure.agent import DeviceAgent
from edgecompress.measure.inputs import Inputs, inputs_of
from edgecompress.measure.loaded import Loaded
from edgecompress.spec.measurement import Measurement


def with_memory(
    agent: DeviceAgent, file: Loaded, inputs: Inputs, measured: Measurement
) -> Measurement:
    """The measurement with the memory of the same file; as it is, where the device has no agent
    that watches it, and its turns tell all that is known.

    What goes wrong on the device is a note: its turns know the memory too, less exactly.

    Raises:
        ArtifactError, TaskError: as in `compare`.

    """
    threads = measured.turns[0].threads
    try:
        with inputs_of({"file": file}, inputs) as paths:
            memory = agent.usage(file, threads, paths["file"])
    except AgentError as error:
        note = f"memory was not watched in a process of its own, and is the turns': {error}"
        return measured.model_copy(update={"notes": (*measured.notes, note)})
    if memory is None:
        return measured
    return measured.model_copy(update={"memory": memory, "peak_rss_bytes": memory.peak_rss_bytes})
