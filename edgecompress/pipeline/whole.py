"""deploy.yaml and a target in, a verdict out."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecompress import __version__
from edgecompress.pipeline import code
from edgecompress.pipeline.attempt import Against, Attempt, attempt, halfway_ms
from edgecompress.pipeline.history import last_shipped
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means
from edgecompress.pipeline.loading import LoadedTask, load, watched
from edgecompress.pipeline.orders import DeployOrder, TargetFailed, TargetOrder
from edgecompress.pipeline.racing import race_on
from edgecompress.pipeline.reporting import (
    chart_points,
    input_notes,
    keep_files,
    kept_rows,
    layer_rows,
    run_notes,
)
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import Counted, Progress
from edgecompress.report.advice import Shipped
from edgecompress.spec.native import native_cpu
from edgecompress.spec.race import Race
from edgecompress.spec.recipe import Recipe, trains_again
from edgecompress.spec.report import Report
from edgecompress.store import Store
from edgecompress.task.used import FilesChanged, Used

_RECENT = 20
"""Runs among which one of the same target is looked for."""


def deploy(order: DeployOrder, progress: Progress) -> Iterator[Report | TargetFailed]:
    """See `edgecompress.pipeline.deploy_all`."""
    store = Store(order.folder / "runs", progress.note)
    code.recall(store.code() or b"{}")
    with watched(order.wanted, order.folder, store, order.given) as used:

        def loaded_anew() -> LoadedTask:
            with progress.stage("load task"):
                return load(order.wanted, order.folder, store, used, order.given)

        loaded = loaded_anew()
        before: list[Recipe] = []
        for wish in order.targets:
            notes = trains_again(wish.recipes[0], before)
            before += wish.recipes
            for note in notes:
                progress.note(note)
            target = _Target(order, wish, store, used, notes, progress)
            try:
                try:
                    finished: Report | TargetFailed = target.deploy(loaded)
                except FilesChanged as error:
                    # What the task keeps in memory may be of both; a fresh one is of the new alone.
                    progress.note(f"{str(error).removesuffix('; deploy again')}; begun again")
                    used.restart()
                    loaded = loaded_anew()
                    finished = target.deploy(loaded)
            except Exception as error:
                # The other targets may do without what this one lacks. Ctrl-C is none of these.
                finished = TargetFailed(wish.name, error)
            store.keep_hashes(used.hashes.dump())
            store.keep_code(code.dump())
            yield finished


@dataclass(frozen=True)
class _Target:
    """One target of a deploy."""

    order: DeployOrder
    wish: TargetOrder
    store: Store
    used: Used
    notes: tuple[str, ...]
    progress: Progress

    def deploy(self, loaded: LoadedTask) -> Report:
        """One run. Raises FilesChanged when a file that it came from is no longer what it was."""
        store = self.store
        run_id = store.start_run(self.wish.name, self.wish.recipes[0].digest())
        try:
            store.record_run_stage(run_id, loaded.checked)
            with TemporaryDirectory(dir=store.work_dir("agent")) as folder:
                seed = self.order.wanted.seed
                progress = Counted(self.progress, self._stages_before())
                stages = Stages(store, run_id, progress, seed, used=self.used)
                jobs = [
                    Job(
                        recipe,
                        native_cpu(),
                        loaded.task,
                        loaded.model,
                        loaded.fingerprint,
                        stages,
                        Path(folder),
                        self.wish.device,
                    )
                    for recipe in self.wish.recipes
                ]
                report = self._report(*self._made(jobs))
            if report.pushed is None:
                stages.check_files()
            return _finish(store, run_id, report)
        finally:
            store.end_run(run_id)

    def _stages_before(self) -> int | None:
        """How many the newest finished run of this target had."""
        names = {recipe.target.name for recipe in self.wish.recipes}
        points = self.store.points(most=_RECENT)
        return next((one.stages for one in points if one.target in names), None)

    def _made(self, jobs: list[Job]) -> tuple[Attempt, Race | None]:
        """What ships, or would; where a board has several runtimes, what won the race there."""
        wish, device = self.wish, self.wish.device
        means = Means(agent_on(HERE, jobs[0].agent_dir), device)
        against = self._against()
        if wish.is_board and device is not None and not device.emulated:
            won = race_on(wish.name, jobs, means, against, pushes=wish.pushes)
            if won is not None:
                return won
        return attempt(jobs[0], means, against, pushes=wish.pushes), None

    def _against(self) -> Against:
        accepts = self.order.accepts_regression
        before = last_shipped(self.store, self.wish.recipes, self.wish.device)
        if before is None:
            return Against(accepts_regression=accepts)
        candidate = before.report.candidate
        shipped = Shipped(before.report.run, candidate.metric, candidate.change)
        return Against(() if before.file is None else (before.file,), shipped, accepts)

    def _report(self, found: Attempt, race: Race | None) -> Report:
        job, results, device = found.job, found.results, self.wish.device
        comparison = found.there and found.there.comparison
        before, after = found.reports
        folder = self.store.run_dir(job.stages.run_id)
        return Report(
            run=job.stages.run_id,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            target=job.recipe.target.name,
            device=None if device is None else device.id,
            task=job.recipe.config.task.path,
            recipe_digest=job.recipe.digest(),
            verdict=found.judgement.verdict(),
            checks=found.judgement.checks,
            baseline=before,
            candidate=after,
            speedup=None if comparison is None else comparison.speedup,
            comparison=comparison,
            artifacts=keep_files(job, folder, results.baseline, results.candidate),
            stages=tuple(job.stages.done),
            points=chart_points(results, comparison, halfway_ms(job, device, results)),
            layers=layer_rows(results.start, results.recovered, after.inspection),
            epochs=results.epochs,
            noise=results.noise,
            kept=() if results.integer is None else kept_rows(results.integer),
            search=results.search,
            allocation=results.smaller.latency,
            race=race,
            looks=results.looks,
            pushed=found.pushed,
            notes=(
                *self.notes,
                *run_notes(job.recipe, device),
                *input_notes(results.candidate.artifact),
                *results.quantizing_notes,
                *results.latency,
                *found.here.retried,
                *(() if found.there is None else found.there.notes),
            ),
            versions={
                "edgecompress": __version__,
                "python": platform.python_version(),
                **job.stages.versions,
            },
        )


def _finish(store: Store, run_id: str, report: Report) -> Report:
    # Imports jinja2, which nothing else needs.
    from edgecompress.report.html import render_html

    store.finish_run(run_id, report, render_html(report, store.points()))
    return report
