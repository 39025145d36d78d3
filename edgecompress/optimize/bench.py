"""Where trials are made: the task, the store, and the device that measures."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from edgecompress import __version__
from edgecompress.artifact import Artifact
from edgecompress.errors import DeviceError, ModelError, RuntimeMissing, TaskError
from edgecompress.measure.notes import is_emulated
from edgecompress.measure.race import Ran, race
from edgecompress.optimize.front import Aims
from edgecompress.optimize.openers import openers
from edgecompress.optimize.plan import FULL, Outcome, Plan
from edgecompress.optimize.reads import Reads
from edgecompress.optimize.space import Space, training_of
from edgecompress.pipeline import code
from edgecompress.pipeline.attempt import file_of
from edgecompress.pipeline.executable import Executable, Int8Model, float_model
from edgecompress.pipeline.files import exported_file, validated
from edgecompress.pipeline.job import Job, Point
from edgecompress.pipeline.keeping import Means, keep_metric
from edgecompress.pipeline.loading import LoadedTask, load, watched
from edgecompress.pipeline.measuring import lane_of, on_device
from edgecompress.pipeline.models import finetuned, original, pruned, quantized, sparsified
from edgecompress.pipeline.orders import DeployOrder
from edgecompress.pipeline.proxy import original_metric, proxy_metric, removable_blocks
from edgecompress.pipeline.racing import lacks
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import HandedOn, Progress
from edgecompress.spec.base import digest
from edgecompress.spec.deploy import StructuredPruneSpec
from edgecompress.spec.device import Device
from edgecompress.spec.native import native_cpu
from edgecompress.spec.probe import Probe
from edgecompress.spec.recipe import resolve
from edgecompress.spec.report import StageCost
from edgecompress.spec.target import Target
from edgecompress.store import SEARCH, Store
from edgecompress.task.used import Used

SEARCHES = "searches"
"""Below runs/: a folder for each search."""
MOST_ROUNDS = 4
"""Turns of a file beside the reference; they end early where the two differ clearly."""
_TRAINS = ("finetune", "quantize")
"""Stages whose time is that of the epochs."""


class TimeUp(BaseException):
    """The time for a trial is over; what it has done is in the store. As an interrupt it is no
    Exception, which would be told as a fault of the user's code that happens to run.
    """


@dataclass(frozen=True)
class Known:
    """What a trial need not find out."""

    reference: tuple[Plan, Outcome] | None = None
    """Whose file latencies are held against; None: there is none yet."""
    latency_ms: float | None = None
    """That of the same shape, from another trial."""
    is_over: Callable[[], bool] = lambda: False
    """Asked now and then; whether to leave off."""


@dataclass(frozen=True)
class Bench:
    """What all trials have in common."""

    board: str
    space: Space
    device: Device
    probe: Probe
    store: Store
    used: Used
    loaded: LoadedTask
    run_id: str
    folder: Path
    progress: Progress

    @property
    def identity(self) -> str:
        """Results of another task, device or space have nothing to do with these."""
        there = [self.device.id, self.probe.cpu_model, self.probe.machine]
        return digest([self.loaded.fingerprint, self.space.digest, there, __version__])

    @cached_property
    def means(self) -> Means:
        return Means(agent_on(HERE, self.folder), self.device)

    @cached_property
    def aims(self) -> Aims:
        """What the original reaches, and what the budgets ask."""
        plan = self.space.plain()[0]
        job = self.job(plan)
        baseline = original_metric(job, original(job, job.model))
        return Aims(baseline, self.higher_is_better, self.space.base.budgets)

    @property
    def higher_is_better(self) -> bool:
        return bool(self.loaded.task.metric().higher_is_better)

    def tried(self, plan: Plan, known: Known) -> Outcome:
        """Make a plan's file, and find out what it is worth.

        Raises:
            TimeUp: `known.is_over` said so.
            EdgecompressError: nothing can come of it, or the device fails.

        """
        started = time.monotonic()
        job = self.job(plan, Until(self.progress, known.is_over))
        self.means.here.check(job.runtime.here(job.recipe.target))
        artifact, metric, exact = self._made(job, plan)
        latency = known.latency_ms
        if latency is None:
            latency = self._latency(job, artifact, known)
        job.stages.check_files()
        return Outcome(
            metric=metric,
            exact=exact,
            latency_ms_p50=latency,
            model_size_bytes=artifact.size_bytes,
            seconds=round(time.monotonic() - started, 1),
            epoch_s=_epoch_s(job),
            read=self._reads.keep(),
        )

    def file(self, plan: Plan) -> Artifact:
        """A plan's file; from the store, where its trial was made here."""
        return self._made(self.job(plan), plan)[0]

    @cached_property
    def _reads(self) -> Reads:
        return Reads(self.store.root / SEARCHES / self.identity[:12] / "read", self.used)

    def changed(self, read: str) -> str | None:
        """The first file that has changed since a trial read it; `read`: as its outcome has it."""
        return self._reads.changed(read)

    def keep_hints(self) -> None:
        """What saves time in the next process."""
        self.store.keep_hashes(self.used.hashes.dump())
        self.store.keep_code(code.dump())

    def job(self, plan: Plan, progress: Progress | None = None) -> Job:
        """What makes a plan's file; `progress`: another than that of all."""
        told = self.progress if progress is None else progress
        config, target = self.space.config(plan), self.space.target(plan.target)
        seed = self.space.base.seed
        return Job(
            resolve(target, config),
            native_cpu(),
            self.loaded.task,
            self.loaded.model,
            self.loaded.fingerprint,
            Stages(self.store, self.run_id, told, seed, used=self.used),
            self.folder,
            self.device,
        )

    def _made(self, job: Job, plan: Plan) -> tuple[Artifact, float, bool]:
        """A plan's file, its metric or a proxy of it, and whether it is the former."""
        config = job.recipe.config
        start = original(job, job.model)
        smaller = self._pruned(job, plan, start)
        recovered = finetuned(job, smaller, start)
        integer = quantized(job, recovered, start)
        model: Executable = float_model(job, recovered, start)
        if integer is not None:
            integer, _ = keep_metric(job, integer, recovered, start, self.means)
            model = Int8Model(job, integer, start)
        _, artifact = exported_file(job, model)
        is_untrained = self.space.full_epochs(plan) > 0 and not plan.epochs
        if isinstance(config.prune, StructuredPruneSpec) and is_untrained:
            return artifact, proxy_metric(job, smaller), False
        return artifact, validated(job, model, self.means.here), True

    def _pruned(self, job: Job, plan: Plan, start: Point) -> Point:
        """The model of a plan's shape: the same on all rungs, unless training comes before it."""
        nominal = self.space.nominal(plan).prune
        trains_before = isinstance(nominal, StructuredPruneSpec) and (
            nominal.sparsify is not None or nominal.epochs_between > 0
        )
        if not plan.epochs and not trains_before:
            # What is cut may follow from how the recipe trains, and a proxy's latency is to be that
            # of what is trained.
            whole = plan.on(FULL, self.space.full_epochs(plan))
            job = replace(job, recipe=self.job(whole).recipe)
        return pruned(job, sparsified(job, start), start)

    def _latency(self, job: Job, artifact: Artifact, known: Known) -> float:
        """p50 in ms, as it would be beside the reference's own measurement: both run in turns."""
        files = {"candidate": (job, artifact)}
        if known.reference is not None:
            plan, _ = known.reference
            other = self.job(plan, job.stages.progress)
            _, reference = file_of(other)
            files["reference"] = (other, reference)
        ran = self._raced(files)
        if ran["candidate"].failure is not None:
            raise ModelError(ran["candidate"].failure)
        latency = ran["candidate"].latency_ms
        if known.reference is None or not ran["reference"].costs_ms:
            return latency
        # Rounds that both ran: what disturbs one disturbs the other.
        pairs = zip(ran["candidate"].costs_ms, ran["reference"].costs_ms, strict=False)
        return known.reference[1].latency_ms_p50 * median(a / b for a, b in pairs)

    def _raced(self, files: dict[str, tuple[Job, Artifact]]) -> dict[str, Ran]:
        job = next(iter(files.values()))[0]
        progress = job.stages.progress
        rounds = min(MOST_ROUNDS, job.recipe.target.measurement.racing.turns)
        with (
            # Two processes that measure at once would measure each other.
            self.store.lock(f"measure-{digest(self.device.id)[:16]}"),
            on_device(job, self.device) as connected,
            progress.stage("measure"),
        ):
            lanes = {}
            for name, (each, artifact) in files.items():
                target = each.recipe.target
                there = connected.on(target)
                loaded = there.prepare(target, artifact)
                lanes[name] = lane_of(target, loaded, there, job.measured_inputs)

            def on_round(number: int, running: Sequence[str]) -> None:
                connected.tick(len(running))
                progress.step(number, rounds, f"turn {number}")

            return race([lanes], rounds, on_round)


@contextmanager
def opened(order: DeployOrder, progress: Progress) -> Iterator[Bench]:
    """Load the task and look at the device.

    Raises:
        DeviceError: there is no device to measure on, or it has none of the board's runtimes.
        BadInput: the task, the model or the data must change.

    """
    (wish,) = order.targets
    device = wish.device
    if device is None:
        raise DeviceError(
            f"optimize {wish.name}: no device of it is at hand, and a search goes by measured"
            " latency; edgecompress devices list says which there are"
        )
    store = Store(order.folder / "runs", progress.note)
    code.recall(store.code() or b"{}")
    targets = tuple(recipe.target for recipe in wish.recipes)
    with watched(order.wanted, order.folder, store, order.given) as used:
        loaded, trains = _loaded(Space(order.wanted, targets), order, store, used)
        run_id = store.start_run(f"{SEARCH}{wish.name}", digest(wish.name))
        try:
            with TemporaryDirectory(dir=store.work_dir("agent")) as name:
                space = Space(order.wanted, targets, trains)
                unknown = Probe.model_construct()
                bench = Bench(
                    wish.name,
                    space,
                    device,
                    unknown,
                    store,
                    used,
                    loaded,
                    run_id,
                    Path(name),
                    progress,
                )
                probe, present = _present(bench)
                job = bench.job(Space(order.wanted, present).plain()[0])
                blocks = _blocks(job, space) if trains else 0
                space = replace(space, targets=present, blocks=blocks)
                yield replace(bench, space=space, probe=probe)
        finally:
            store.end_run(run_id)


def _loaded(space: Space, order: DeployOrder, store: Store, used: Used) -> tuple[LoadedTask, bool]:
    """The task, and whether it can train."""
    trained = next(openers(space, space.targets[0].name))
    try:
        return load(space.nominal(trained), order.folder, store, used, order.given), True
    except TaskError as error:
        plain = space.nominal(space.plain()[0])
        loaded = load(plain, order.folder, store, used, order.given)
        store.note(f"only what needs no training is searched: {error}")
        return loaded, False


def _blocks(job: Job, space: Space) -> int:
    return removable_blocks(job, original(job, job.model), space.ignored_layers)


def _present(bench: Bench) -> tuple[Probe, tuple[Target, ...]]:
    """What the device is, and those of the board's runtimes that it has."""
    jobs = [bench.job(plan) for plan in bench.space.plain()]
    with on_device(jobs[0], bench.device) as connected:
        probe = connected.agent.probe()
    if bench.device.emulated or is_emulated(probe):
        raise DeviceError(
            f"{bench.device.id}: is emulated, so that no latency there says anything;"
            " name a board of which there is a device"
        )
    absent = [lacks(job, bench.device, probe) for job in jobs]
    present = [job for job, why in zip(jobs, absent, strict=True) if why is None]
    if not present:
        raise RuntimeMissing("; ".join(filter(None, absent)))
    return probe, tuple(job.recipe.target for job in present)


class Until(HandedOn):
    """Another's progress, until the time is over."""

    def __init__(self, progress: Progress, is_over: Callable[[], bool]) -> None:
        super().__init__(progress)
        self._is_over = is_over

    def step(self, done: int, total: int, text: str) -> None:
        """Raises TimeUp: training has a checkpoint of the last epoch, and goes on from there."""
        self._progress.step(done, total, text)
        if self._is_over():
            raise TimeUp


def _epoch_s(job: Job) -> float | None:
    epochs = sum(part.epochs for part in training_of(job.recipe.config).values())
    costs: list[StageCost] = [
        stage.cost for stage in job.stages.done if stage.name in _TRAINS and stage.cost is not None
    ]
    return sum(cost.seconds for cost in costs) / epochs if epochs and costs else None
