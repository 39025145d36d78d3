"""What a search does next, for any outcomes."""

import random
from collections.abc import Callable

import pytest

from edgecompress.optimize.front import Aims, shippable
from edgecompress.optimize.openers import openers
from edgecompress.optimize.plan import EPOCHS, FULL, Outcome, Plan, Tried
from edgecompress.optimize.schedule import FINALS, Left, Situation, next_step, offer
from edgecompress.optimize.space import Offer, Space
from edgecompress.spec.deploy import Budgets

BASELINE = 0.9
FLOATS = Offer(floats=("tiny",))
"""What `learnt` makes of the original."""


class Searched:
    """A search whose trials come out as `outcome` says."""

    def __init__(self, space: Space, outcome: Callable[[Plan], Outcome]) -> None:
        self.space, self.outcome = space, outcome
        self.trials: list[Tried] = []
        self.aims = Aims(BASELINE, True, Budgets(max_metric_drop=0.01))

    def step(self, left: Left) -> Plan | None:
        now = Situation(self.space, self.aims, self.trials, left)
        step = next_step(now)
        if step is None:
            return None
        source = random.Random(len(self.trials))
        drawn = self.space.draw(lambda _, v: source.choice(v), offer(now))
        plan = drawn if step == "draw" else step
        number = len(self.trials)
        outcome = self.outcome(plan)
        self.trials.append(Tried(number=number, plan=plan, state="complete", outcome=outcome))
        return plan

    def run(self, trials: int) -> list[Plan]:
        """With a limit of trials."""
        plans: list[Plan] = []
        while True:
            left = max(trials - sum(one.plan.rung != FULL for one in self.trials), 0)
            plan = self.step(Left(trials=left))
            if plan is None:
                return plans
            plans.append(plan)


def learnt(plan: Plan) -> Outcome:
    """Pruning saves time and costs accuracy, most of which training brings back."""
    reduction = float(plan.params.get("reduction", 1.0))
    lost = 0.02 * (reduction - 1) + 0.01
    kept = BASELINE - lost * (1.0 if not plan.epochs else 3.0 / (3.0 + plan.epochs))
    is_proxy = reduction > 1 and not plan.epochs
    return Outcome(
        metric=kept - 0.3 * is_proxy,
        exact=not is_proxy,
        latency_ms_p50=1.0 / reduction,
        model_size_bytes=1000,
        seconds=10.0,
        epoch_s=5.0 if plan.epochs else None,
    )


def test_first_comes_plain_int8_whatever_time_there_is(space: Space) -> None:
    searched = Searched(space, learnt)
    assert searched.step(Left(seconds=-1.0, of_seconds=60.0)) == space.plain()[0]
    assert searched.step(Left(seconds=-1.0, of_seconds=60.0)) is None


def test_rungs_are_climbed_by_a_third_and_the_front_is_trained_in_full(space: Space) -> None:
    searched = Searched(space, learnt)
    plans = searched.run(40)
    opening = list(openers(space, "tiny", FLOATS))
    assert plans[2 : 2 + len(opening)] == opening
    counts = [sum(plan.rung == rung for plan in plans) for rung in range(FULL + 1)]
    assert sum(counts[:FULL]) == 40
    assert 1 <= counts[FULL] <= FINALS
    assert counts[0] > counts[1] > counts[2] > 0
    assert {plan.epochs for plan in plans} == {*EPOCHS, 30}
    # Nothing is done twice on one rung but what the sampler draws.
    climbed = [(plan.key, plan.rung) for plan in plans if plan.rung]
    assert len(climbed) == len(set(climbed))


def test_with_time_the_last_trainings_fit_into_what_is_left(space: Space) -> None:
    searched = Searched(space, learnt)
    whole, elapsed, planned = 600.0, 0.0, 0.0
    while (plan := searched.step(Left(seconds=whole - elapsed, of_seconds=whole))) is not None:
        seconds = 10.0 + 5.0 * plan.epochs
        if plan.rung == FULL:
            planned += 1
            assert seconds - 10.0 <= whole - elapsed
            assert elapsed >= whole / 2
        elapsed += seconds
    assert planned
    assert elapsed < 1.3 * whole


@pytest.mark.parametrize(("float_ms", "fast"), [(1.2, True), (1.3, False)])
def test_floats_are_on_offer_where_the_original_is_about_as_fast_as_plain_int8(
    space: Space, float_ms: float, fast: bool
) -> None:
    def found(plan: Plan) -> Outcome:
        times = float_ms if plan.kind == "original" else 1.0
        outcome = learnt(plan)
        return outcome.model_copy(update={"latency_ms_p50": outcome.latency_ms_p50 * times})

    searched = Searched(space, found)
    plans = searched.run(20)
    # Right after plain int8, because what is tried follows from them.
    assert [plan.kind for plan in plans[:3]] == ["plain", "original", "drawn"]
    assert any(plan.params.get("precision") == "float" for plan in plans) == fast
    # What it is held against is no candidate.
    assert all(one.plan.kind != "original" for one, _ in shippable(searched.trials))


def test_what_is_over_a_budget_of_its_shape_is_not_trained(space: Space) -> None:
    searched = Searched(space, learnt)
    searched.aims = Aims(BASELINE, True, Budgets(max_metric_drop=0.01, latency_ms_p50=0.4))
    trained = [plan for plan in searched.run(30) if plan.epochs]
    assert trained
    assert all(float(plan.params["reduction"]) >= 2.5 for plan in trained)


def test_what_plain_int8_beats_anyway_is_not_trained(space: Space) -> None:
    def no_faster(plan: Plan) -> Outcome:
        found = learnt(plan)
        metric = BASELINE if plan.kind == "plain" else found.metric
        return found.model_copy(update={"latency_ms_p50": 1.0, "metric": metric})

    assert not [plan for plan in Searched(space, no_faster).run(20) if plan.epochs]


def test_trials_end_a_search_that_has_time_left(space: Space) -> None:
    searched = Searched(space, learnt)
    for _ in range(200):
        left = max(16 - sum(one.plan.rung != FULL for one in searched.trials), 0)
        if searched.step(Left(trials=left, seconds=5000.0, of_seconds=6000.0)) is None:
            break
    rungs = [one.plan.rung for one in searched.trials]
    assert sum(rung != FULL for rung in rungs) == 16
    assert 1 <= rungs.count(FULL) <= FINALS


def test_what_failed_is_not_tried_again(space: Space) -> None:
    searched = Searched(space, learnt)
    searched.run(5)
    failed = searched.trials[1].model_copy(update={"state": "failed", "outcome": None})
    searched.trials[1] = failed
    plans = searched.run(20)
    assert failed.plan.key not in [plan.key for plan in plans]


def test_int8_is_trained_only_where_plain_int8_loses_something(space: Space) -> None:
    def lossless(plan: Plan) -> Outcome:
        found = learnt(plan)
        return found.model_copy(update={"metric": BASELINE}) if plan.kind == "plain" else found

    def recovers(outcome: Callable[[Plan], Outcome]) -> set[object]:
        plans = Searched(space, outcome).run(8)
        pruned = [plan.params for plan in plans if plan.params.get("precision") == "int8"]
        return {params["recover"] for params in pruned if params["prune"] == "structured"}

    assert recovers(learnt) == {"both"}
    assert recovers(lossless) == {"float"}


def test_a_training_that_cannot_end_in_time_leaves_its_time_to_the_finals(space: Space) -> None:
    searched, whole, elapsed, trained = Searched(space, slow), 600.0, 0.0, 0
    while (plan := searched.step(Left(seconds=whole - elapsed, of_seconds=whole))) is not None:
        if plan.epochs and trained and elapsed < whole / 2 and plan.rung != FULL:
            # The first tells how long an epoch takes.
            assert elapsed + 60.0 * plan.epochs <= whole / 2
        elapsed += 10.0 + 60.0 * plan.epochs
        trained += plan.epochs > 0
    assert elapsed < 1.3 * whole
    finals = [one.plan for one in searched.trials if one.plan.rung == FULL]
    # Time for five epochs, where thirty were wished: they are not shared out.
    assert len(finals) == 1
    assert finals[0].epochs >= 4


def slow(plan: Plan) -> Outcome:
    return learnt(plan).model_copy(update={"epoch_s": 60.0 if plan.epochs else None})


@pytest.mark.parametrize(("minutes", "measured"), [(20, False), (90, True)])
def test_single_layers_are_measured_where_there_is_time(
    space: Space, minutes: int, measured: bool
) -> None:
    searched, whole = Searched(space, learnt), 60.0 * minutes
    plans = [searched.step(Left(seconds=whole - 1.0, of_seconds=whole)) for _ in range(30)]
    allocations = [plan.params.get("allocation") for plan in plans if plan is not None]
    assert ("latency" in allocations) == measured


def test_nothing_is_trained_in_full_before_it_is_known_how_long_that_takes(space: Space) -> None:
    """Proxies alone may take all of the search's share."""
    searched, whole = Searched(space, slow), 600.0
    for _ in range(6):
        searched.step(Left(seconds=whole - 1.0, of_seconds=whole))
    assert not any(one.plan.epochs for one in searched.trials)
    elapsed, plans = whole / 2, []
    while (plan := searched.step(Left(seconds=whole - elapsed, of_seconds=whole))) is not None:
        elapsed += 10.0 + 60.0 * plan.epochs
        plans.append(plan)
    assert (plans[0].rung, plans[0].epochs) == (1, EPOCHS[1])
    assert elapsed < 1.3 * whole


def test_a_rung_that_trains_as_long_as_the_final_could_is_left_out(space: Space) -> None:
    searched, whole, elapsed = Searched(space, slow), 1800.0, 0.0
    while (plan := searched.step(Left(seconds=whole - elapsed, of_seconds=whole))) is not None:
        elapsed += 10.0 + 60.0 * plan.epochs
    # Half of the time is worth 12 epochs: two are a beginning, and six would be half of the last.
    epochs = {one.plan.epochs for one in searched.trials if one.plan.rung not in (0, FULL)}
    assert epochs == {2, 6}
    searched, whole, elapsed = Searched(space, slow), 1200.0, 0.0
    while (plan := searched.step(Left(seconds=whole - elapsed, of_seconds=whole))) is not None:
        elapsed += 10.0 + 60.0 * plan.epochs
    epochs = {one.plan.epochs for one in searched.trials if one.plan.rung not in (0, FULL)}
    assert epochs == {2}
