"""From deploy.yaml to a task whose model and data are known to fit each other."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from edgecompress.pipeline.code import code_of
from edgecompress.pipeline.cost import CostMeter
from edgecompress.pipeline.job import CALIBRATION_SEED
from edgecompress.pipeline.stages import Cache, Output, stage_key
from edgecompress.spec.deploy import DeployConfig, StructuredPruneSpec
from edgecompress.store import Store
from edgecompress.task import Task
from edgecompress.task.check import Reads, check_data
from edgecompress.task.given import Given, Read
from edgecompress.task.hashes import Hashes
from edgecompress.task.load import fingerprint, folders_of, load_task, original_model
from edgecompress.task.seed import seed_everything
from edgecompress.task.used import NothingUsed, Used

_FEW_BATCHES = 32
"""What is calibrated on no more says the same of the training data as any other that is."""


@dataclass(frozen=True)
class LoadedTask:
    """A task, and the model that it gives."""

    task: Task
    model: nn.Module
    """The model that `task.model()` gave."""
    fingerprint: str
    checked: str
    """Key of the stage that looked at the data."""


def watched(wanted: DeployConfig, folder: Path, store: Store, given: Given | None = None) -> Used:
    """What the task of a deploy reads from here on; to be closed."""
    if given is not None:
        return NothingUsed()
    hashes = Hashes(store.hashes() or b"{}")
    return Used(folder, folders_of(wanted.task, folder), [store.root], hashes)


def load(
    wanted: DeployConfig,
    folder: Path,
    store: Store,
    used: Used | None = None,
    given: Given | None = None,
) -> LoadedTask:
    """The task of a deploy, with one batch of each of its data methods looked at: once, as any
    stage is done, so that a deploy which finds all in the store asks the task for no data; but
    what is `given` in the place of a task in a file is known by its data.

    Raises:
        FilesChanged: what `used` has seen the task read is no longer what is there.
        BadInput: the task, the model or the data must change.

    """
    task = seeded_task(wanted, folder, given)
    model = original_model(task)
    reads = reads_of(wanted)
    if given is None:
        digest = fingerprint(task, wanted.task, folder, model)
    else:
        digest = given.fingerprint(task, model, _read_of(wanted, reads))
    depends_on: dict[str, JsonValue] = {
        "task": digest,
        "seed": wanted.seed,
        "reads": repr(reads),
    }
    name, cache = "check data", Cache(store, used)
    asked = stage_key(name, depends_on, code_of(check_data))
    with store.lock(asked):
        record = cache.find(asked, name)
        if record is None:
            meter = CostMeter()
            check_data(task, model, reads, wanted.seed)
            record = cache.keep(asked, name, meter.cost(), Output({}))
    return LoadedTask(task, model, digest, record.key)


def _read_of(wanted: DeployConfig, reads: Reads) -> Read:
    """What of the training data results follow from."""
    calibrated = _FEW_BATCHES if wanted.quantize is None else wanted.quantize.calibration_batches
    all_of_it = reads.trains or calibrated > _FEW_BATCHES
    return Read(wanted.seed, CALIBRATION_SEED, None if all_of_it else _FEW_BATCHES)


def load_scored(
    wanted: DeployConfig, folder: Path, given: Given | None = None
) -> tuple[Task, nn.Module]:
    """Task and model for what scores a finished file, which reads the evaluation data alone.

    Raises:
        BadInput: the task, the model or the data must change.

    """
    task = seeded_task(wanted, folder, given)
    model = original_model(task)
    check_data(task, model, Reads(methods=("eval_data",)), wanted.seed)
    return task, model


def seeded_task(wanted: DeployConfig, folder: Path, given: Given | None = None) -> Task:
    """The task of a deploy, or of what is given in its place, after seeding: it may make up its
    data or its untrained weights when it is asked for them. Errors as in `load_task`.
    """
    seed_everything(wanted.seed, 0)
    return load_task(wanted.task, folder) if given is None else given.task()


def reads_of(wanted: DeployConfig) -> Reads:
    """What a recipe reads of a task."""
    prune, quantize = wanted.prune, wanted.quantize
    captured_training = quantize is not None and quantize.train is not None
    trains = (
        captured_training
        or wanted.train is not None
        or wanted.finetune is not None
        or isinstance(prune, StructuredPruneSpec)
    )
    scored, calibrated = ("validation_data", "eval_data"), ("calibration_data",)
    trained = ("train_data",)
    return Reads(
        needed=(
            *(trained if trains else ()),
            *(calibrated if quantize is not None else ()),
            *scored,
        ),
        captured=(
            *(trained if captured_training else ()),
            *(calibrated if quantize is not None else ()),
            *(scored if quantize is not None else ("eval_data",)),
        ),
        trains=trains,
    )
