"""A file on one device: pushed, validated there, activated."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.errors import EdgecompressError
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.evaluate import Runs
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.validate import Sample, validate
from edgecompress.pipeline.fleet import unknown
from edgecompress.pipeline.measuring import Connected, protocol_for, quiet_s
from edgecompress.pipeline.single import agent_over
from edgecompress.progress import Lane, Transfer
from edgecompress.push import (
    Alive,
    Board,
    Manifest,
    Origin,
    PushOptions,
    Watch,
    push,
    retried,
)
from edgecompress.runtimes import formats
from edgecompress.spec.base import digest
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Pushed, Validation
from edgecompress.spec.target import Target
from edgecompress.together import Stop
from edgecompress.transport import connect

CONNECTS = 3
"""A device that is asleep or busy may not answer at first; one that is off should not be waited
for as long as one that was there a moment ago."""

Judge = Callable[[Connected, Loaded, Validation], Validation]
"""Measures on the device and completes the validation; raises Refused."""


@dataclass(frozen=True)
class Candidate:
    """A file that may go to devices of one target."""

    artifact: Artifact
    manifest: Manifest
    sample: Sample
    target: Target
    run: str
    """The run that made it."""


@dataclass(frozen=True)
class Trial:
    """What a candidate goes through on a device."""

    judge: Judge
    budgets: Budgets
    activates: bool = True
    deadline_s: float = DEADLINE_S
    """How long one command of the validation there may take, or a copy may not move."""
    reuses: bool = False
    """Whether a validation that passed there before, and asked the same, is enough."""
    stop: Stop = field(default_factory=Stop)


def candidate(
    artifact: Artifact, sample: Sample, target: Target, recipe_digest: str, run: str
) -> Candidate:
    manifest = Manifest(
        file=f"model{formats()[artifact.format][0].suffix}",
        format=artifact.format,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        target=target.name,
        recipe_digest=recipe_digest,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        labels=artifact.labels or (),
        preprocessing=artifact.preprocessing,
    )
    return Candidate(artifact, manifest, sample, target, run)


def asked_of(sent: Candidate, device: Device, budgets: Budgets) -> str:
    """Hash of all that a validation depends on, but the device and the file."""
    sample, outputs = sent.sample, hashlib.sha256()
    for array in (array for batch in sample.outputs for array in batch):
        outputs.update(array.tobytes())
    return digest(
        {
            "metric": type(sample.task.metric()).__name__,
            "value": repr(sample.value),
            "outputs": outputs.hexdigest(),
            "noise_rms": repr(sample.noise_rms),
            "budgets": budgets.model_dump(mode="json"),
            "protocol": protocol_for(sent.target, device).model_dump(mode="json"),
            "threads": sent.target.runtime.threads,
        }
    )


def push_to(device: Device, sent: Candidate, trial: Trial, lane: Lane) -> Pushed:
    """One device, from its lock to its journal; see docs/devices.md.

    Nothing but an interrupt is raised: what goes wrong is in what is returned. A defect of ours is
    told as one, with where its traceback lies.
    """
    validation: Validation | None = None
    twice: list[str] = []
    size, moved = sent.manifest.size_bytes, Transfer(lane)
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        try:
            lane(0, 0, "connecting")
            with retried(lambda: connect(device, Path(name)), CONNECTS) as transport:
                lane(0, 0, "preparing")
                transport.moved = moved
                agent = agent_over(transport, device, sent.target, trial.deadline_s)
                twice = agent.retried

                def check(path: str, alive: Alive) -> Validation:
                    nonlocal validation
                    moved.stage = "validating"
                    lane(0, 0, moved.stage)
                    agent.place(sent.artifact.sha256, path)

                    def tick(files: int = 1) -> None:
                        trial.stop.check()
                        alive(quiet_s(sent.target, trial.deadline_s, files))

                    connected = Connected(device, agent, tick, transport)
                    loaded = connected.prepare(sent.target, sent.artifact)
                    there = Runs(agent, loaded, Path(name))
                    validation = validate(there, sent.sample, trial.budgets, tick)
                    moved.stage = "measuring"
                    lane(0, 0, moved.stage)
                    validation = trial.judge(connected, loaded, validation)
                    lane(0, 0, "activating" if trial.activates else "validated")
                    return validation

                def sent_so_far(there: int) -> None:
                    trial.stop.check()
                    moved("uploading", there, size)

                options = PushOptions(
                    Watch(note=lambda text: lane(0, 0, text), sent=sent_so_far),
                    activates=trial.activates,
                    origin=Origin(sent.run, asked_of(sent, device, trial.budgets), trial.reuses),
                )
                board, model = Board(transport, device=device.id), sent.artifact.path
                pushed = push(board, model, sent.manifest, check, options)
        except EdgecompressError as error:
            pushed = Pushed(
                device=device.id,
                outcome="rolled_back",
                release=sent.manifest.id,
                active=None,
                reasons=(str(error),),
            )
        except Exception as error:
            pushed = unknown(device.id, sent.manifest.id, error)
    update = {"validation": validation or pushed.validation, "notes": (*pushed.notes, *twice)}
    return pushed.model_copy(update=update)
