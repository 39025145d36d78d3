"""What a search does next: a pure function of what was tried and of what is left.

Successive halving in which nobody waits for anybody (ASHA, Li et al., 2020): whenever a rung has
three times as many as went on from it, the best of the others goes on.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from edgecompress.optimize.front import Aims, complete, front, ranked, shippable
from edgecompress.optimize.openers import openers
from edgecompress.optimize.plan import EPOCHS, FULL, Outcome, Plan, Tried
from edgecompress.optimize.space import Offer, Space

ONE_OF = 3
"""One of so many goes on to the next rung."""
SEARCH_SHARE = 0.5
"""Share of the time after which what is on the front is trained in full."""
FINALS = 3
"""So many are trained in full where no time is given."""
_NEARLY = 1.25
"""A float original that takes so many times as long as plain int8 may beat it once it is pruned."""
_AS_FAST = 1.02
"""What a clock can hardly tell apart."""
_FITS = 0.85
"""Share of the time that is left which full trainings are planned for."""
_TABLE_S = 1800.0
"""A search that has less time measures no layers one by one: that took up to a third of 20 minutes.
"""
_ENOUGH = 0.5
"""Share of a whole training below which no time is shared out, because one that learns beats three
that have hardly begun; and above which a short one is none, but as good as the last.
"""
_LOSSLESS = 4
"""Plain int8 that could lose so many times as much and keep the budget needs no training in int8,
whose epochs take several times as long as those in float.
"""

Draw = Literal["draw"]
Row = tuple[Tried, Outcome]


@dataclass(frozen=True)
class Left:
    """What a search may still take."""

    trials: int | None = None
    """None: as many as there is time for."""
    seconds: float | None = None
    """None: as long as it takes."""
    of_seconds: float = 0.0
    """All that there was."""
    points: bool = True
    """Whether the space has points that were not tried."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is begun."""
        return self.seconds is not None and self.seconds <= 0

    @property
    def until_finals(self) -> float:
        """Seconds in which a trial of the search should end, those of the finals once they are due;
        infinite where no time is given.
        """
        if self.seconds is None:
            return math.inf
        kept = (1 - SEARCH_SHARE) * self.of_seconds if self.is_searching else 0.0
        return self.seconds - kept

    def final_epochs(self, outcome: Outcome) -> float:
        """How many epochs the last training of a recipe may have, by what one took so far."""
        if self.seconds is None or not outcome.epoch_s:
            return math.inf
        seconds = min(self.seconds, (1 - SEARCH_SHARE) * self.of_seconds)
        return _FITS * seconds / outcome.epoch_s

    @property
    def is_searching(self) -> bool:
        """Whether there are trials left, and the time to train the front in full has not come."""
        has_trials = self.trials is None or self.trials > 0
        has_time = self.seconds is None or self.seconds > (1 - SEARCH_SHARE) * self.of_seconds
        return has_trials and has_time


@dataclass(frozen=True)
class Situation:
    """All that the next step follows from."""

    space: Space
    aims: Aims
    trials: Sequence[Tried]
    left: Left

    @property
    def known(self) -> list[Tried]:
        return [one for one in self.trials if one.counts]

    def is_begun(self, plan: Plan) -> bool:
        return any((one.plan.key, one.plan.rung) == (plan.key, plan.rung) for one in self.known)

    @property
    def has_failed(self) -> bool:
        """Whether no runtime has anything of plain int8, without which no point is made either."""
        plain = [one.state for one in self.known if one.plan.kind == "plain"]
        return bool(plain) and all(state == "failed" for state in plain)

    def row_of(self, plan: Plan) -> Row | None:
        """What is known of a recipe on its highest rung."""
        rows = [row for row in complete(self.trials) if row[0].plan.key == plan.key]
        return max(rows, key=lambda row: row[0].plan.rung, default=None)


def next_step(now: Situation) -> Plan | Draw | None:
    """A plan; 'draw': whatever the sampler proposes; None: it is over."""
    for plan in now.space.plain():
        # Whatever time there is: this is what a search never ends worse than.
        if not now.is_begun(plan):
            return plan
    if now.left.is_over:
        return None
    if now.left.is_searching:
        ready = list(_ready(now))
        for plan in ready:
            if _has_time(now, plan):
                return plan
        # Where no training ends in time any more, the finals had better begin.
        if not ready and (drawn := _draw(now)) is not None:
            return drawn
    last = _final(now)
    if last is not None or now.left.trials == 0 or now.left.seconds is None:
        return last
    fitting = (plan for plan in _ready(now) if _has_time(now, plan))
    return next(fitting, None) or _draw(now)


def best_target(now: Situation) -> str:
    """The runtime in which plain int8 is the fastest."""
    plain = [row for row in complete(now.trials) if row[0].plan.kind == "plain"]
    if not plain:
        return now.space.targets[0].name
    return min(plain, key=lambda row: row[1].latency_ms_p50)[0].plan.target


def offer(now: Situation) -> Offer:
    """What is on offer by what was measured."""
    best = best_target(now)
    plain = [row for row in complete(now.trials) if row[0].plan.kind == "plain"]
    originals = [row for row in complete(now.trials) if row[0].plan.kind == "original"]
    limit = _NEARLY * min((row[1].latency_ms_p50 for row in plain), default=0.0)
    fast = sorted(
        (outcome.latency_ms_p50, one.plan.target)
        for one, outcome in originals
        if outcome.latency_ms_p50 <= limit
    )
    loses = [now.aims.loss(row[1].metric) for row in plain if row[0].plan.target == best]
    trains_int8 = not loses or not now.aims.allows(_LOSSLESS * loses[0])
    has_time = now.left.seconds is None or now.left.of_seconds >= _TABLE_S
    return Offer((best,) if has_time else (), tuple(one for _, one in fast), trains_int8)


def _ready(now: Situation) -> Iterator[Plan]:
    return itertools.chain(_openers(now), _promotions(now))


def _draw(now: Situation) -> Draw | None:
    return "draw" if now.left.points and not now.has_failed else None


def _has_time(now: Situation, plan: Plan) -> bool:
    """Whether it ends in time, if its epochs take as long as those of what was trained already: of
    itself, where it was, or else of all.
    """
    rows = [(one, outcome) for one, outcome in complete(now.trials) if outcome.epoch_s is not None]
    own = [row for row in rows if row[0].plan.key == plan.key]
    times = [outcome.epoch_s for _, outcome in (own if own else rows) if outcome.epoch_s]
    return not times or plan.epochs * median(times) <= now.left.until_finals


def _openers(now: Situation) -> Iterable[Plan]:
    target, kinds = best_target(now), {one.plan.kind for one in now.known}
    if not now.has_failed:
        yield from (plan for plan in now.space.originals() if not now.is_begun(plan))
    if now.space.has_own and "own" not in kinds:
        yield Plan(kind="own", target=target)
    if now.has_failed:
        return
    drawn = [one.plan.params for one in now.known if one.plan.kind == "drawn"]
    yield from (plan for plan in openers(now.space, target, offer(now)) if plan.params not in drawn)


def _promotions(now: Situation) -> Iterable[Plan]:
    """From the highest rung down, so that what is far is finished first."""
    for rung in reversed(range(FULL - 1)):
        rows = [row for row in complete(now.trials) if row[0].plan.rung == rung]
        rows = [row for row in rows if _is_worth_training(now, row)]
        order = ranked([now.aims.point(outcome) for _, outcome in rows])
        for index in order[: math.ceil(len(rows) / ONE_OF)]:
            (one, outcome), epochs = rows[index], EPOCHS[rung + 1]
            # What trains hardly longer in the end is left to the end.
            longest = min(now.space.full_epochs(one.plan), now.left.final_epochs(outcome))
            higher = one.plan.on(rung + 1, epochs)
            if epochs <= _ENOUGH * longest and not now.is_begun(higher):
                yield higher


def _is_worth_training(now: Situation, row: Row) -> bool:
    """Whether it may still get somewhere: nothing beats what it would be if training brought back
    all of the metric, and its shape is within the budgets.
    """
    one, outcome = row
    if not now.space.full_epochs(one.plan) or not now.aims.fits(outcome):
        return False
    goal = min(0.0, now.aims.loss(outcome.metric))
    return not any(
        now.aims.loss(done.metric) <= goal
        and done.latency_ms_p50 <= _AS_FAST * outcome.latency_ms_p50
        for _, done in shippable(now.trials)
    )


def _final(now: Situation) -> Plan | None:
    """The next of the front to be trained in full, with as many epochs as there is time for."""
    begun = {one.plan.key for one in now.known if one.plan.rung == FULL}
    left = now.left.seconds
    if (left is None or now.left.trials is not None) and len(begun) >= FINALS:
        return None
    candidates = [row for row in _finalists(now) if row[0].plan.key not in begun]
    for one, outcome in candidates:
        if left is not None and outcome.epoch_s is None:
            # How many epochs fit is not known before it has trained.
            first = one.plan.on(1, EPOCHS[1])
            if one.plan.rung == 0 and not now.is_begun(first):
                return first
        whole = now.space.full_epochs(one.plan)
        epochs = whole
        if left is not None and outcome.epoch_s:
            most = _FITS * left / outcome.epoch_s
            shares = min(len(candidates), FINALS - len(begun), int(most / (_ENOUGH * whole)))
            epochs = min(whole, int(most / max(shares, 1)))
        if epochs > one.plan.epochs:
            return one.plan.on(FULL, epochs)
    return None


def _finalists(now: Situation) -> list[Row]:
    """The front of what trains, on the highest rung that each has reached: those that keep the
    budget already, the fastest first, then those nearest to it.
    """
    rows = [row for row in map(now.row_of, _recipes(now)) if row is not None]
    rows = [row for row in rows if _is_worth_training(now, row)]
    # A proxy says little beside what training has shown.
    rows = [row for row in rows if row[0].plan.rung] or rows
    kept = [rows[index] for index in front([now.aims.point(outcome) for _, outcome in rows])]
    return sorted(kept, key=lambda row: (now.aims.excess(row[1]), row[1].latency_ms_p50))


def _recipes(now: Situation) -> list[Plan]:
    return list({one.plan.key: one.plan for one in now.known}.values())
