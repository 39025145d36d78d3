"""Stages that are done once: keyed by all they depend on, visible only when they are finished."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue

from edgecompress.pipeline.code import Code, code_of
from edgecompress.pipeline.cost import CostMeter
from edgecompress.progress import Progress
from edgecompress.spec.base import digest
from edgecompress.spec.report import ReportStage, StageCost
from edgecompress.store import StageRecord, Store
from edgecompress.task.seed import seed_everything
from edgecompress.task.used import Used, UsedFiles

_USED = "used files"
"""Label of the blob that says what a stage read of the task's files."""
_COST = "cost"
"""Label of the blob that says what it took."""
_STAGE_SEED = 1_000_001  # an "epoch" that no training reaches


@dataclass(frozen=True)
class Output:
    """What a stage's work gives: a JSON document, and files or bytes by label."""

    result: dict[str, JsonValue]
    blobs: dict[str, bytes | Path] = field(default_factory=dict)


@dataclass
class Cache:
    """What is done already, as long as the files that it came from hold what they held."""

    store: Store
    used: Used | None = None
    """None: no files are looked at."""

    def find(self, asked: str, name: str) -> StageRecord | None:
        """The stage that was done for this key, or None: it must be done, or done again."""
        changed = None
        for record in self.store.stages(asked):
            files = self._files_of(record)
            changed = None if self.used is None else self.used.differing(files)
            if changed is None:
                if self.used is not None:
                    self.used.add(files)
                return record
        if changed is not None:
            self.store.note(f"{name}: done again, because {changed} has changed")
        return None

    def keep(self, asked: str, name: str, cost: StageCost, output: Output) -> StageRecord:
        """Make a stage finished. Raises FilesChanged when a file has changed meanwhile."""
        contents = {**output.blobs, _COST: cost.model_dump_json().encode()}
        if self.used is not None:
            contents[_USED] = json.dumps(self.used.taken()).encode()
        blobs = {label: self.store.put(content) for label, content in contents.items()}
        record = StageRecord("", name, cost.seconds, dict(output.result), blobs, asked)
        return self.store.keep(replace(record, key=_key_of(record)))

    def cost_of(self, record: StageRecord) -> StageCost | None:
        """What it took when it was done; None: it was done before that was kept."""
        if _COST not in record.blobs:
            return None
        content = self.store.path(record.blobs[_COST]).read_text()
        return StageCost.model_validate_json(content)

    def _files_of(self, record: StageRecord) -> UsedFiles:
        if _USED not in record.blobs:
            return {}
        files: UsedFiles = json.loads(self.store.path(record.blobs[_USED]).read_bytes())
        return files


def _key_of(record: StageRecord) -> str:
    """What others depend on: what was asked, and what came out of it."""
    came = {label: sha256 for label, sha256 in record.blobs.items() if label not in (_USED, _COST)}
    # As text, because a result may hold a NaN.
    result = json.dumps(record.result, sort_keys=True)
    return digest({"asked": record.asked, "result": result, "blobs": came})


@dataclass
class Stages:
    """Runs stages for one run and remembers which."""

    store: Store
    run_id: str
    progress: Progress
    seed: int
    done: list[ReportStage] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries that the results so far come from."""
    used: Used | None = None
    """The files that the task reads; None: they are not looked at."""

    def run(
        self,
        name: str,
        depends_on: dict[str, JsonValue],
        work: Callable[[Path], Output],
        also: tuple[str, ...] = (),
    ) -> StageRecord:
        """The stage's record: from the store, or of `work(work_dir)` done now.

        Args:
            name: of the stage.
            depends_on: everything but code, and the files that the task reads, that its result
                follows from: its part of the recipe, the task's fingerprint, the keys of its
                parents.
            work: writes checkpoints into the folder it is given, and finds them there again when
                it is called after a kill.
            also: what it runs beside what is named in its source, as in `code_of`.

        Raises:
            FilesChanged: a file of the task changed meanwhile.

        """
        start = time.monotonic()
        with self.progress.stage(name):
            record, cached = self._kept(name, depends_on, work, also, within=False)
        cost = Cache(self.store, self.used).cost_of(record)
        self.note(name, time.monotonic() - start, cached, cost)
        return record

    def part(
        self,
        name: str,
        depends_on: dict[str, JsonValue],
        work: Callable[[Path], Output],
        also: tuple[str, ...] = (),
    ) -> StageRecord:
        """As `run`, of what another stage does on its way, and others may need too; its time, its
        cost and its progress are that stage's.
        """
        record, _ = self._kept(name, depends_on, work, also, within=True)
        # Nor may it, cached or not, change what is drawn by what follows.
        seed_everything(self.seed, _STAGE_SEED)
        return record

    def _kept(
        self,
        name: str,
        depends_on: dict[str, JsonValue],
        work: Callable[[Path], Output],
        also: tuple[str, ...],
        *,
        within: bool,
    ) -> tuple[StageRecord, bool]:
        """The record, and whether it was in the store."""
        code = code_of(work, also)
        self.versions |= code.versions()
        asked = stage_key(name, depends_on, code)
        cache = Cache(self.store, self.used)
        with self.store.lock(asked):
            record = cache.find(asked, name)
            cached = record is not None
            if record is None:
                # What ran before, or was cached, must not change what random numbers it draws.
                seed_everything(self.seed, _STAGE_SEED)
                meter = CostMeter(within=within)
                output = work(self.store.work_dir(asked))
                record = cache.keep(asked, name, meter.cost(), output)
            self.store.record_run_stage(self.run_id, record.key)
        return record, cached

    def check_files(self) -> None:
        """Raises FilesChanged when a file that a result came from is no longer what it was."""
        if self.used is not None:
            self.used.check()

    def note(self, name: str, seconds: float, cached: bool, cost: StageCost | None = None) -> None:
        row = ReportStage(name=name, seconds=round(seconds, 3), cached=cached, cost=cost)
        self.done.append(row)


def stage_key(name: str, depends_on: dict[str, JsonValue], code: Code) -> str:
    """Hash of all that a stage's result follows from, but for the files that its task reads."""
    return digest({"stage": name, "depends_on": depends_on, "code": code.describe()})
