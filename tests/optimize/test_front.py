"""Fronts, orders and areas hold for any points."""

import math

from hypothesis import given
from hypothesis import strategies as st

from edgecompress.optimize.front import (
    Aims,
    Point,
    dominates,
    front,
    hypervolume,
    ranked,
    to_deploy,
)
from edgecompress.optimize.plan import Outcome, Plan, Tried
from edgecompress.spec.deploy import Budgets

NUMBERS = st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 2))
POINTS = st.lists(st.builds(Point, NUMBERS, NUMBERS), max_size=12)
WORST = Point(1.5, 1.5)


@given(POINTS)
def test_a_front_has_what_nothing_dominates_and_no_point_twice(points: list[Point]) -> None:
    found = front(points)
    best = {point for point in points if not any(dominates(other, point) for other in points)}
    assert {points[index] for index in found} == best
    assert len(found) == len(best)
    assert [points[index].log_ms for index in found] == sorted(point.log_ms for point in best)


def test_plain_int8_is_deployed_where_all_before_it_are_refused() -> None:
    def tried(number: int, kind: str, metric: float, latency_ms: float) -> Tried:
        outcome = Outcome(
            metric=metric,
            exact=True,
            latency_ms_p50=latency_ms,
            model_size_bytes=1000,
            seconds=1.0,
        )
        plan = Plan.model_validate({"kind": kind, "target": "tiny", "params": {"n": number}})
        return Tried(number=number, plan=plan, state="complete", outcome=outcome)

    plain = tried(0, "plain", 0.88, 1.0)
    better = [tried(n, "drawn", 0.9 - n / 1000, 0.9 - n / 10) for n in range(1, 6)]
    aims = Aims(0.9, True, Budgets(max_metric_drop=0.1))
    numbers = [one.number for one, _ in to_deploy([plain, *better], aims, 3)]
    assert numbers == [5, 4, 3, 0]
    assert [one.number for one, _ in to_deploy([plain], aims, 3)] == [0]


@given(POINTS)
def test_ranked_has_each_once_and_none_before_what_dominates_it(points: list[Point]) -> None:
    order = ranked(points)
    assert sorted(order) == list(range(len(points)))
    for place, index in enumerate(order):
        assert not any(dominates(points[later], points[index]) for later in order[place:])


@given(POINTS, st.builds(Point, NUMBERS, NUMBERS))
def test_another_point_never_takes_from_the_area(points: list[Point], more: Point) -> None:
    whole = hypervolume([*points, more], WORST)
    assert whole >= hypervolume(points, WORST) - 1e-12
    beaten = any(dominates(point, more) or point == more for point in points)
    assert math.isclose(whole, hypervolume(points, WORST), abs_tol=1e-12) == beaten


def test_the_area_of_two_corners() -> None:
    assert hypervolume([Point(0, 1), Point(1, 0)], Point(2, 2)) == 3.0


def test_a_metric_that_is_better_when_lower_loses_by_growing() -> None:
    budgets = Budgets(max_metric_drop=0.1, model_size_bytes=100)
    aims = Aims(1.0, higher_is_better=False, budgets=budgets)
    outcome = Outcome(
        metric=1.25, exact=True, latency_ms_p50=1.0, model_size_bytes=100, seconds=1.0
    )
    assert math.isclose(aims.excess(outcome), 0.15)
    assert aims.keeps(outcome.model_copy(update={"metric": 1.1}))
    assert not aims.keeps(outcome.model_copy(update={"metric": 0.9, "model_size_bytes": 101}))
