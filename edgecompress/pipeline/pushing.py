"""Send the model of a run to devices: a finished run's to several, a deploy's to its own."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecompress.artifact import sha256_of
from edgecompress.errors import ArtifactError, Refused, SpecError
from edgecompress.measure.compare import measure_file
from edgecompress.measure.evaluate import Runs
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.notes import is_emulated
from edgecompress.measure.turns import Session
from edgecompress.measure.validate import draw
from edgecompress.pipeline.fleet import side_by_side
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.inputs import chosen
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.loading import load_scored
from edgecompress.pipeline.measuring import (
    Connected,
    DeviceFindings,
    RivalFile,
    choosing_for,
    measure_on,
)
from edgecompress.pipeline.on_device import find_device
from edgecompress.pipeline.orders import PushOrder
from edgecompress.pipeline.outputs import rebuilder_for
from edgecompress.pipeline.push_one import Candidate, Trial, candidate, push_to
from edgecompress.pipeline.results import Results
from edgecompress.pipeline.single import HERE, agent_on, loaded_here, reference_kernels
from edgecompress.progress import Progress
from edgecompress.report.budgets import over_budget
from edgecompress.report.verdict import Judgement
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.measurement import Measurement
from edgecompress.spec.pushed import Pushed, Validation
from edgecompress.spec.report import PushedRun, Report
from edgecompress.spec.target import Target
from edgecompress.store import Store
from edgecompress.together import Stop


def push_run(order: PushOrder, progress: Progress) -> PushedRun:
    """Push the model of a run to devices, several at once; one that fails stops nobody else.

    Raises:
        BadInput: the run, the devices, deploy.yaml or the task. What goes wrong on a device is in
            what is returned.

    """
    config, made_by = order.config, order.made_by
    store = Store(config.parent / "runs")
    report = store.report(order.run)
    file = _file_of(report, store.run_dir(report.run))
    target = load_target(report.target, config.parent)
    devices = [_device_for(name, target, order) for name in order.devices]
    wanted = load_deploy(config) if made_by is None else made_by.wanted
    given = None if made_by is None else made_by.given
    if report.verdict.decision == "refuse":
        why = report.checks[0].text
        progress.note(
            f"warning: run {report.run} was refused: {why}; only the device's own checks decide now"
        )
    with progress.stage("load task"), tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        task, model = load_scored(wanted, config.parent, given)
        examples = task.example_inputs()
        artifact = describe_file(file)
        progress.note("run the validation sample here")
        rebuild = rebuilder_for(task, model, examples, artifact)
        here = agent_on(HERE, Path(name))
        loaded, kernels = loaded_here(artifact, target), reference_kernels(target)
        runs = Runs(here, loaded, Path(name), kernels=kernels)
        sample = draw(runs, task, rebuild, wanted.seed)
        parity = report.candidate.parity
        sample = replace(sample, noise_rms=None if parity is None else parity.noise_rms)
        sent = candidate(artifact, sample, target, report.recipe_digest, report.run)
        inputs = chosen(sample.batches)

        def push_one(device: Device, stop: Stop) -> Pushed:
            trial = Trial(
                _OneTurn(sent, inputs, wanted.budgets),
                wanted.budgets,
                activates=order.activates,
                deadline_s=order.deadline_s,
                reuses=order.activates,
                stop=stop,
            )
            return _push(device, sent, trial, progress)

        with progress.stage("push"):
            pushed = side_by_side(devices, sent.manifest.id, push_one, progress.note)
    return PushedRun(
        run=report.run,
        verdict=report.verdict,
        devices=pushed.results,
        interrupted=pushed.interrupted,
    )


def push_judged(
    job: Job,
    device: Device,
    results: Results,
    verdict: Callable[[DeviceFindings], Judgement],
    rivals: Sequence[RivalFile] = (),
) -> tuple[Pushed, DeviceFindings | None]:
    """The device's part of a deploy: push, validate, measure in turns with the original, activate.

    Returns:
        How the push ended, and what the device told; None when it did not come so far.

    """
    there: DeviceFindings | None = None
    built = results.candidate
    rebuild = rebuilder_for(job.task, job.model, job.example_inputs, built.artifact)
    target, folder = job.recipe.target, job.agent_dir
    loaded = loaded_here(built.artifact, target)
    runs = Runs(agent_on(HERE, folder), loaded, folder, kernels=reference_kernels(target))
    sample = draw(runs, job.task, rebuild, job.recipe.config.seed)
    parity = built.evaluation.parity
    sample = replace(sample, noise_rms=None if parity is None else parity.noise_rms)
    run = job.stages.run_id
    sent = candidate(built.artifact, sample, target, job.recipe.digest(), run)

    def judge(connected: Connected, _: Loaded, validation: Validation) -> Validation:
        nonlocal there
        there = measure_on(job, connected, results.baseline, built, rivals)
        judgement = verdict(there)
        if judgement.decision == "refuse":
            raise Refused(judgement.checks[0].text)
        return _completed(validation, there.comparison.candidate, there.comparison.emulated)

    started, progress = time.monotonic(), job.stages.progress
    with progress.stage("push"), progress.lane(device.id) as lane:
        pushed = push_to(device, sent, Trial(judge, job.recipe.config.budgets), lane)
    job.stages.note("push", time.monotonic() - started, cached=False)
    return pushed, there


def _device_for(name: str, target: Target, order: PushOrder) -> Device:
    """The device of that id. Raises SpecError when there is none, or it is another target's."""
    device = find_device(name, order.inventory, order.config)
    if not device.serves(target):
        raise SpecError(
            f"device '{name}' is of target '{device.target}', and the model is made for"
            f" '{target.name}'; deploy for its target, or correct the inventory"
        )
    return device


def _push(device: Device, sent: Candidate, trial: Trial, progress: Progress) -> Pushed:
    with progress.lane(device.id) as lane:
        pushed = push_to(device, sent, trial, lane)
    progress.note(f"{device.id}: {pushed.outcome}" + "".join(f": {r}" for r in pushed.reasons))
    return pushed


@dataclass(frozen=True)
class _OneTurn:
    """One turn on the device, and the budgets that only it can check; none on an emulated one."""

    sent: Candidate
    inputs: Inputs
    budgets: Budgets

    def __call__(self, connected: Connected, loaded: Loaded, validation: Validation) -> Validation:
        """Raises Refused when a budget is not kept."""
        device, agent, target = connected.device, connected.agent, self.sent.target
        connected.tick()
        protocol = choosing_for(target, device).model_copy(update={"turns": 1})
        threads = target.runtime.threads
        session = Session(agent, protocol, threads, self.inputs, lambda *_: connected.tick())
        measured = measure_file(session, loaded)
        emulated = device.emulated or is_emulated(agent.probe())
        over = () if emulated else over_budget(self.budgets, measured)
        if over:
            raise Refused(f"{agent.transport.name}: {over[0]}")
        return _completed(validation, measured, emulated)


def _completed(validation: Validation, measured: Measurement, emulated: bool) -> Validation:
    """The validation with what was measured besides."""
    return validation.model_copy(
        update={
            "latency_ms_p50": measured.latency_ms_p50,
            "peak_rss_bytes": measured.peak_rss_bytes,
            "emulated": emulated,
        }
    )


def _file_of(report: Report, folder: Path) -> Path:
    """The run's model. Raises ArtifactError when it is gone, or is another."""
    kept = next(kept for kept in report.artifacts if Path(kept.path).stem == "model")
    # The report has it as it was seen from where the deploy was started.
    path = folder / Path(kept.path).name
    if not path.exists():
        raise ArtifactError(f"{path}: the run's model is gone; deploy again")
    if sha256_of(path) != kept.sha256:
        raise ArtifactError(f"{path}: is not the model that the run made; deploy again")
    return path
