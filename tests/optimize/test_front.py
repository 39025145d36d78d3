"""Fronts, orders and areas hold for any points."""

import math

from hypothesis import given
from hypothesis import strategies as st

from edgecompress.optimize.front import Aims, Point, dominates, front, hypervolume, ranked
from edgecompress.optimize.plan import Outcome
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
