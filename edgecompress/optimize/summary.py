"""From the trials of a study to the document of a search."""

from collections.abc import Sequence
from datetime import datetime, timezone

from edgecompress.optimize.bench import Bench
from edgecompress.optimize.front import (
    Aims,
    Point,
    by_preference,
    complete,
    front_of,
    hypervolume,
    shippable,
)
from edgecompress.optimize.plan import FULL, Outcome, Tried
from edgecompress.optimize.space import training_of
from edgecompress.optimize.words import methods_of, words_of
from edgecompress.spec.search import Contribution, SearchReport, TrialRow

_MARGIN = 0.05
"""The worst corner lies beyond all that could ship by this share of their range."""


def summary(bench: Bench, trials: Sequence[Tried], where: str) -> SearchReport:
    """All that is known of a search; `where`: its trials are kept, without secrets."""
    aims = bench.aims
    best = by_preference(trials, aims)
    evaluated = bench.loaded.task.metric()
    return SearchReport(
        search=bench.identity[:12],
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        task=bench.space.base.task.path,
        board=bench.board,
        device=bench.device.id,
        study=where,
        seed=bench.space.base.seed,
        metric=type(evaluated).__name__,
        is_share=_is_share(aims, trials),
        higher_is_better=aims.higher_is_better,
        original_metric=aims.baseline,
        max_metric_drop=aims.budgets.max_metric_drop,
        trials=_rows(bench, trials),
        contributions=_contributions(bench, trials),
        best=best[0][0].label if best else None,
        seconds=round(sum(outcome.seconds for _, outcome in complete(trials)), 1),
    )


def _is_share(aims: Aims, trials: Sequence[Tried]) -> bool:
    values = [aims.baseline, *(outcome.metric for _, outcome in complete(trials))]
    return all(0 <= value <= 1 for value in values)


def _rows(bench: Bench, trials: Sequence[Tried]) -> tuple[TrialRow, ...]:
    on_front = {one.number for one, _ in front_of(trials, bench.aims)}
    return tuple(_row(bench, one, on_front=one.number in on_front) for one in trials)


def _row(bench: Bench, one: Tried, *, on_front: bool) -> TrialRow:
    config, outcome = bench.space.config(one.plan), one.outcome
    row = TrialRow(
        number=one.label,
        target=one.plan.target,
        what=words_of(config),
        methods=methods_of(config),
        is_plain=one.plan.kind == "plain",
        rung="proxy" if not one.plan.rung else "full" if one.plan.rung == FULL else "short",
        epochs=sum(part.epochs for part in training_of(config).values()),
        state=one.state,
        why=one.why,
    )
    if outcome is None:
        return row
    found = {
        "metric": outcome.metric,
        "exact": outcome.exact,
        "latency_ms_p50": outcome.latency_ms_p50,
        "model_size_bytes": outcome.model_size_bytes,
        "seconds": outcome.seconds,
        "on_front": on_front,
        "keeps_budgets": outcome.exact and bench.aims.keeps(outcome),
    }
    return row.model_copy(update=found)


def _contributions(bench: Bench, trials: Sequence[Tried]) -> tuple[Contribution, ...]:
    aims, rows = bench.aims, shippable(trials)
    if not rows:
        return ()
    methods = {one.number: methods_of(bench.space.config(one.plan)) for one, _ in rows}
    points = [aims.point(outcome) for _, outcome in rows]
    worst = _worst(points)
    whole = hypervolume(points, worst)
    found = []
    for method in sorted({name for names in methods.values() for name in names}):
        having = [outcome for one, outcome in rows if method in methods[one.number]]
        without = [outcome for one, outcome in rows if method not in methods[one.number]]
        if not without:
            continue  # there is nothing to compare with
        lost = whole - hypervolume([aims.point(outcome) for outcome in without], worst)
        found.append(
            Contribution(
                method=method,
                trials=len(having),
                with_ms=_fastest(having, aims),
                without_ms=_fastest(without, aims),
                front_share=lost / whole if whole else 0.0,
            )
        )
    return tuple(sorted(found, key=lambda one: -one.front_share))


def _fastest(outcomes: Sequence[Outcome], aims: Aims) -> float | None:
    return min((one.latency_ms_p50 for one in outcomes if aims.keeps(one)), default=None)


def _worst(points: Sequence[Point]) -> Point:
    """A corner that even the last of them is before."""
    corner = []
    for values in zip(*points, strict=True):
        low, high = min(values), max(values)
        corner.append(high + _MARGIN * max(high - low, 1e-3))
    return Point(*corner)
