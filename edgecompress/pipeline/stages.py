"""Stages that are done once: keyed by all they depend on, visible only when they are finished."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from edgecompress.pipeline.code import Code, code_of
from edgecompress.progress import Progress
from edgecompress.spec.base import digest
from edgecompress.spec.report import ReportStage
from edgecompress.store import StageRecord, Store
from edgecompress.task.seed import seed_everything

_STAGE_SEED = 1_000_001  # an "epoch" that no training reaches


@dataclass(frozen=True)
class Output:
    """What a stage's work gives: a JSON document, and files or bytes by label."""

    result: dict[str, JsonValue]
    blobs: dict[str, bytes | Path] = field(default_factory=dict)


@dataclass
class Stages:
    """Runs stages for one run and remembers which."""

    store: Store
    run_id: str
    progress: Progress
    seed: int
    done: list[ReportStage] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries that the results so far come from."""

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
            depends_on: everything but code that its result follows from: its part of the recipe,
                the task's fingerprint, the keys of its parents.
            work: writes checkpoints into the folder it is given, and finds them there again when
                it is called after a kill.
            also: what it runs beside what is named in its source, as of `code_of`.

        """
        code = code_of(work, also)
        self.versions |= code.versions()
        key = stage_key(name, depends_on, code)
        start = time.monotonic()
        with self.progress.stage(name), self.store.lock(key):
            record = self.store.stage(key)
            cached = record is not None
            if record is None:
                # What ran before, or was cached, must not change what random numbers it draws.
                seed_everything(self.seed, _STAGE_SEED)
                output = work(self.store.work_dir(key))
                blobs = {label: self.store.put(content) for label, content in output.blobs.items()}
                seconds = time.monotonic() - start
                record = self.store.record_stage(key, name, seconds, output.result, blobs)
            self.store.record_run_stage(self.run_id, key)
        self.note(name, time.monotonic() - start, cached)
        return record

    def note(self, name: str, seconds: float, cached: bool) -> None:
        self.done.append(ReportStage(name=name, seconds=round(seconds, 3), cached=cached))


def stage_key(name: str, depends_on: dict[str, JsonValue], code: Code) -> str:
    """Of all that a stage's result follows from."""
    return digest({"stage": name, "depends_on": depends_on, "code": code.describe()})
