"""deploy.yaml and a board in; a front, a recipe and a verdict out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgecompress.errors import ArtifactError, EdgecompressError, ModelError
from edgecompress.optimize.bench import SEARCHES, Bench, opened
from edgecompress.optimize.front import complete, to_deploy
from edgecompress.optimize.place import Place
from edgecompress.optimize.plan import Plan
from edgecompress.optimize.recipe_file import write_recipe
from edgecompress.optimize.search import Limits, Search
from edgecompress.optimize.study import Study
from edgecompress.optimize.summary import summary
from edgecompress.optimize.words import words_of
from edgecompress.pipeline import whole
from edgecompress.pipeline.entrants import entrants_of
from edgecompress.pipeline.orders import DeployOrder, TargetFailed, TargetOrder
from edgecompress.progress import Progress
from edgecompress.report.search import render_search
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.recipe import resolve
from edgecompress.spec.report import Report
from edgecompress.spec.search import SearchReport
from edgecompress.store import Store, atomic_write
from edgecompress.store.files import storage_errors

STUDY = "search.sqlite"
"""Below runs/: the trials."""
MOST_DEPLOYED = 3
"""So many of the front are made as they would ship before plain int8 is, where all are refused."""


@dataclass(frozen=True)
class Found:
    """What came of a search."""

    report: SearchReport
    page: Path
    shipped: Report | None
    """None: it was interrupted before a verdict."""


@dataclass(frozen=True)
class _Choice:
    """What may be deployed of a search, best first; all that is left when its bench is put away."""

    number: int
    order: DeployOrder
    numbers: Mapping[str, int]
    """The trial whose recipe each target has in its race."""


def optimize(order: DeployOrder, limits: Limits, study: str | None, progress: Progress) -> Found:
    """See `edgecompress.optimize.optimize`."""
    root = order.folder / "runs"
    place = Place(root / STUDY if study is None else study)
    with opened(order, progress) as bench:
        found, choices, interrupted = _searched(bench, order, limits, place)
        if interrupted:
            return _kept(root, found.model_copy(update={"interrupted": True}), None)
    store = Store(root, progress.note)
    # Two that end at once would measure each other.
    try:
        with store.lock(f"finish-{found.search}"):
            return _deployed(root, found, choices, progress)
    except KeyboardInterrupt:
        return _kept(root, found.model_copy(update={"interrupted": True}), None)


def _searched(
    bench: Bench, order: DeployOrder, limits: Limits, place: Place
) -> tuple[SearchReport, list[_Choice], bool]:
    seed, maximises = bench.space.base.seed, bench.higher_is_better
    with _only_one_makes_tables(bench):
        study = Study(place, study_name(bench), seed, maximises=maximises)
    interrupted = False
    try:
        Search(bench, study, limits).run()
    except KeyboardInterrupt:
        interrupted = True
    trials = study.trials()
    study.close()
    if interrupted and not complete(trials):
        raise KeyboardInterrupt  # there is nothing to tell, and finding that out takes long
    report = summary(bench, trials, place.shown)
    plain = {one.plan.target: one.label for one, _ in complete(trials) if one.plan.kind == "plain"}
    choices = [
        _Choice(
            one.label,
            _order_of(bench, order, one.plan),
            {**plain, one.plan.target: one.label},
        )
        for one, _ in to_deploy(trials, bench.aims, MOST_DEPLOYED)
    ]
    return report, choices, interrupted


def study_name(bench: Bench) -> str:
    """As the database has it."""
    return f"edgecompress {bench.identity}"


@contextmanager
def _only_one_makes_tables(bench: Bench) -> Iterator[None]:
    with bench.store.lock("search-tables"):
        yield


def _order_of(bench: Bench, order: DeployOrder, plan: Plan) -> DeployOrder:
    """The board's race, with the plan in its runtime, and plain int8 in the others."""
    config, (wish,) = bench.space.config(plan), order.targets
    plain = {one.target: bench.space.nominal(one) for one in bench.space.plain()}
    configs = {**plain, plan.target: config}
    recipes = [resolve(one, configs[one.name]) for one in bench.space.targets]
    recipes.sort(key=lambda recipe: recipe.target.name != plan.target)
    target = TargetOrder(wish.name, tuple(recipes), wish.device, is_board=True, pushes=False)
    return replace(order, wanted=config, targets=(target,))


def _deployed(root: Path, found: SearchReport, choices: list[_Choice], progress: Progress) -> Found:
    """The first choice that its verdict does not refuse, else the very first."""
    refused: list[tuple[_Choice, Report]] = []
    failed: EdgecompressError | None = None
    for choice in choices:
        (result,) = whole.deploy(choice.order, progress)
        if isinstance(result, TargetFailed):
            if not isinstance(result.error, (ModelError, ArtifactError)):
                raise result.error
            failed = result.error
            progress.note(f"trial {choice.number} cannot be deployed: {failed}")
            continue
        if result.verdict.decision != "refuse":
            return _committed(root, found, choice, result)
        progress.note(f"trial {choice.number} is refused; see run {result.run}")
        refused.append((choice, result))
    if not refused and failed is not None:
        raise failed
    return _committed(root, found, *refused[0])


def _committed(root: Path, found: SearchReport, choice: _Choice, run: Report) -> Found:
    config, target = _shipped(choice, run)
    number = choice.numbers.get(target, choice.number)
    told = f"trial {number} of search {found.search}, {words_of(config)} ({target})"
    path = write_recipe(root.parent, config, found.board, told)
    update: Mapping[str, object] = {
        "best": number,
        "recipe": str(path),
        "run": run.run,
        "decision": run.verdict.decision,
        "evaluated_metric": run.baseline.metric.value,
        "evaluated_samples": run.baseline.metric.samples,
    }
    return _kept(root, found.model_copy(update=dict(update)), run)


def _shipped(choice: _Choice, run: Report) -> tuple[DeployConfig, str]:
    """The recipe of what won the race, and its target: it may be plain int8 in another runtime."""
    won = () if run.race is None else [one for one in run.race.entrants if one.ending == "won"]
    entrants = [one for recipe in choice.order.targets[0].recipes for one in entrants_of(recipe)]
    for one in entrants:
        config = one.recipe.config
        # Where an original wins, there is no recipe of what ships.
        changes = any((config.prune, config.finetune, config.quantize))
        if won and one.name == won[0].name and changes:
            return config, one.recipe.target.name
    return choice.order.wanted, choice.order.targets[0].recipes[0].target.name


def _kept(root: Path, report: SearchReport, shipped: Report | None) -> Found:
    # Not beside the runs, whose folders have reports of another kind.
    folder = root / SEARCHES / report.search
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    atomic_write(folder / "report.json", report.model_dump_json(indent=2).encode() + b"\n")
    atomic_write(page, render_search(report).encode())
    return Found(report, page, shipped)
