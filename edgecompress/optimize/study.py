"""The trials of a search, in a database that several processes and machines may share.

The only place that knows optuna. A trial's plan is written with it before anything is done, so that
who finds it without its process can do it again.
"""

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import cast

import optuna
from optuna.exceptions import (
    DuplicatedStudyError,
    OptunaError,
    StorageInternalError,
    UpdateFinishedTrialError,
)
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from edgecompress.optimize.place import Place
from edgecompress.optimize.plan import Outcome, Params, Plan, State, Tried, Value
from edgecompress.optimize.space import CHOICES, UNTABLED
from edgecompress.optimize.worker import is_gone, this_worker
from edgecompress.spec.base import parse

MOST_RETRIES = 2
"""A trial that takes its process with it every time is given up."""
BEAT_S, SILENT_S = 10, 120
"""How often a trial shows that it lives, and after how long others think that it does not."""
_MAKES_TABLES, _PAUSE_S = 12, 0.3
"""How often to try, and the time between."""
_CHOOSES_S, _LOOK_S = 10.0, 0.05
"""How long a choice may take that others wait for, and how often they look."""
_STARTUP = 8
"""Points drawn at random before there is something to learn from."""
_PLAN, _WORKER, _OUTCOME, _WHY, _TRY = "plan", "worker", "outcome", "why", "try"
_ENDED = "its process ended"
_TIME_UP, _INTERRUPTED = "the time was over", "interrupted"
_STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "same",
}
Drawing = Callable[[Callable[[str, Sequence[Value]], Value]], Plan]
"""Makes a plan of choices; see `Space.draw`."""


@dataclass(frozen=True)
class Claimed:
    """A trial that this process has taken."""

    number: int
    plan: Plan
    trial: Trial
    is_new: bool
    """Whether the sampler has just proposed it, and nobody asked for it."""


class Study:
    """One search. Everything in it is committed before a call returns.

    Raises:
        SpecError: the URL cannot be read, or names a database that SQLAlchemy does not know.
        RuntimeMissing: the driver of that database is not installed.
        DeviceError: the database cannot be reached, or does not let one in.
        StorageError: the file of the default is damaged, or cannot be written.

    """

    def __init__(self, place: Place, name: str, seed: int, *, maximises: bool) -> None:
        """`maximises`: whether the metric is better when it is higher."""
        self._place, self._seed = place, seed
        self._outdated: frozenset[int] = frozenset()
        self._seen_at: dict[int, float] = {}
        """When a trial was first seen that runs, and of which nobody says whose it is."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # It warns of what it calls experimental, and of heartbeats, which are ours here.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", module="optuna")
        directions = ["maximize" if maximises else "minimize", "minimize"]
        with self._call():
            self._storage = self._connected()
            try:
                self._study = optuna.create_study(
                    study_name=name,
                    storage=self._storage,
                    directions=directions,  # type: ignore[arg-type]
                    load_if_exists=True,
                )
            except DuplicatedStudyError:
                self._study = optuna.load_study(study_name=name, storage=self._storage)

    def trials(self) -> list[Tried]:
        """All of them, in order; those without a plan were begun and not written down."""
        with self._call():
            found = self._study.get_trials(deepcopy=False)
        return [self._unless_outdated(_tried(one)) for one in found if _PLAN in one.user_attrs]

    def leave(self, numbers: Iterable[int]) -> None:
        """From here on these are outdated."""
        self._outdated = frozenset(numbers)

    def _unless_outdated(self, one: Tried) -> Tried:
        if one.number not in self._outdated:
            return one
        return one.model_copy(update={"state": "outdated", "outcome": None})

    def tidy(self) -> None:
        """Mark those failed whose process is gone, and have them tried again."""
        with self._call():
            fail_stale_trials(self._study)
            for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if is_gone(one.user_attrs.get(_WORKER)) or self._is_nobodys(one):
                    self._abandon(one)

    def _is_nobodys(self, one: FrozenTrial) -> bool:
        """Whether its process was ended before it said who it is, and so before its heart beat."""
        if _WORKER in one.user_attrs:
            return False
        if self._place.excludes:
            with self._place.alone():
                # Whoever claims one says so before the next may look.
                now = self._storage.get_trial(one._trial_id)
            return now.state == TrialState.RUNNING and _WORKER not in now.user_attrs
        seen_at = self._seen_at.setdefault(one.number, time.monotonic())
        return time.monotonic() - seen_at > SILENT_S

    def add(self, plan: Plan) -> None:
        """Have a plan tried next, by whoever is first."""
        with self._call():
            self._enqueue(plan, 0)

    def claim(self, draw: Drawing) -> Claimed:
        """The next that waits, or a new one that the sampler proposes."""
        with self._call():
            with self._place.alone():
                trial = self._study.ask()
                # First, so that whoever is known to have it has shown that it lives.
                self._storage.record_heartbeat(trial._trial_id)
                trial.set_user_attr(_WORKER, this_worker())
            self._study.sampler = self._sampler(trial.number)
            written = trial.user_attrs.get(_PLAN)
            if written is None:
                plan = draw(_picker(trial))
                trial.set_user_attr(_PLAN, plan.model_dump(mode="json"))
            else:
                plan = parse(Plan, written, f"trial {trial.number + 1}")
                if plan.kind == "drawn":
                    # The sampler learns from what the trial says that it chose.
                    draw(_picker(trial))
        return Claimed(trial.number, plan, trial, written is None)

    def twin(self, claimed: Claimed) -> int | None:
        """The number of another trial that does, or did, the very same; who was first does it. What
        has failed is done again only where somebody asked for it.
        """
        self._await_choices_before(claimed.number)
        for one in self.trials():
            same = (one.plan.key, one.plan.rung) == (claimed.plan.key, claimed.plan.rung)
            if not same or one.number == claimed.number:
                continue
            is_first = one.state in ("running", "waiting") and one.number < claimed.number
            has_failed = one.state == "failed" and claimed.is_new
            if one.state == "complete" or is_first or has_failed:
                return one.number
        return None

    def _await_choices_before(self, number: int) -> None:
        """An earlier trial that has not written down what it does may turn out to be the same, and
        then this one must see it (Lamport's bakery, 1974).
        """
        until = time.monotonic() + _CHOOSES_S
        while time.monotonic() < until:
            with self._call():
                running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            earlier = [one for one in running if one.number < number]
            if not any(
                _PLAN not in one.user_attrs and not is_gone(one.user_attrs.get(_WORKER))
                for one in earlier
            ):
                return
            time.sleep(_LOOK_S)

    def finish(self, claimed: Claimed, outcome: Outcome) -> None:
        with self._call(), suppress(UpdateFinishedTrialError):
            claimed.trial.set_user_attr(_OUTCOME, outcome.model_dump(mode="json"))
            values = (outcome.metric, outcome.latency_ms_p50)
            self._study.tell(claimed.trial, values, skip_if_finished=True)

    def same(self, claimed: Claimed, number: int) -> None:
        """Leave it, because another is the same."""
        self._end(claimed, TrialState.PRUNED, f"the same as trial {number + 1}")

    def fail(self, claimed: Claimed, why: str) -> None:
        """Nothing can come of it."""
        self._end(claimed, TrialState.FAIL, why)

    def stop(self, claimed: Claimed) -> None:
        """The time was over; it may be tried again where there is more."""
        self._end(claimed, TrialState.FAIL, _TIME_UP)

    def release(self, claimed: Claimed) -> None:
        """It was interrupted, and is to be tried again if it was not done yet."""
        with self._call():
            if self._end(claimed, TrialState.FAIL, _INTERRUPTED):
                self._enqueue(claimed.plan, 0)

    @contextmanager
    def beating(self, claimed: Claimed) -> Iterator[None]:
        """While open, others see that its process lives."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                # A database that is away for a while is noticed when there is something to tell.
                with suppress(SQLAlchemyError, OptunaError):
                    self._storage.record_heartbeat(claimed.trial._trial_id)

        with self._call():
            self._storage.record_heartbeat(claimed.trial._trial_id)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def close(self) -> None:
        self._storage.remove_session()

    def _connected(self) -> RDBStorage:
        """Makes the tables where there are none."""
        for left in reversed(range(_MAKES_TABLES)):
            try:
                return RDBStorage(
                    self._place.url,
                    engine_kwargs=self._place.engine,
                    heartbeat_interval=BEAT_S,
                    grace_period=SILENT_S,
                    heartbeat_stale_trial_callback=self._again,
                )
            except DBAPIError as error:
                # Those that make the tables at once, on several machines, are in each other's way.
                collided = isinstance(error, IntegrityError) or "exists" in str(error.orig)
                if not collided or not left:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("the last raises")

    @contextmanager
    def _call(self) -> Iterator[None]:
        """As `Place.call`."""
        with self._place.call():
            try:
                yield
            except StorageInternalError as error:
                # It stands before what the database said.
                raise error.__cause__ or error from None

    def _end(self, claimed: Claimed, state: TrialState, why: str) -> bool:
        """Whether it had not ended before."""
        with self._call(), suppress(UpdateFinishedTrialError):
            claimed.trial.set_user_attr(_WHY, why)
            self._study.tell(claimed.trial, state=state, skip_if_finished=True)
            return True
        return False

    def _abandon(self, one: FrozenTrial) -> None:
        try:
            if not self._storage.set_trial_state_values(one._trial_id, TrialState.FAIL):
                return
        except UpdateFinishedTrialError:
            return  # another process has seen it too
        self._again(self._study, one)

    def _again(self, _: optuna.Study, one: FrozenTrial) -> None:
        """Have what a process left behind tried once more."""
        tries = int(one.user_attrs.get(_TRY, 0)) + 1
        if _PLAN in one.user_attrs and tries <= MOST_RETRIES:
            self._enqueue(parse(Plan, one.user_attrs[_PLAN], "a trial"), tries)

    def _enqueue(self, plan: Plan, tries: int) -> None:
        attributes = {_PLAN: plan.model_dump(mode="json"), _TRY: tries}
        params = {"target": plan.target, **plan.params} if plan.kind == "drawn" else {}
        self._study.enqueue_trial(_fixed(params), user_attrs=attributes)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Seeded by the trial, so that a search that was interrupted proposes what it would have,
        and two processes never the same.
        """
        seed = (self._seed * 1_000_003 + number) % 2**32
        drawn = sum(one.plan.kind == "drawn" for one in self.trials())
        if drawn < _STARTUP or number % _STARTUP == _STARTUP - 1:
            # Now and then at random, because a space that is used up gives the same again.
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=_STARTUP)


def _picker(trial: Trial) -> Callable[[str, Sequence[Value]], Value]:
    def pick(name: str, values: Sequence[Value]) -> Value:
        if _is_ordered(values):
            return values[trial.suggest_int(name, 0, len(values) - 1)]
        return cast(Value, trial.suggest_categorical(name, values))

    return pick


def _fixed(params: Params) -> Params:
    """As `_picker` asks for them."""
    fixed = dict(params)
    if params.get("allocation") not in (None, "latency"):
        fixed[UNTABLED] = params["allocation"]
    for name, value in params.items():
        values = CHOICES.get(name, ())
        if values and _is_ordered(values):
            fixed[name] = values.index(value)
    return fixed


def _is_ordered(values: Sequence[Value]) -> bool:
    """Whether near values are alike."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _tried(one: FrozenTrial) -> Tried:
    where = f"trial {one.number + 1}"
    outcome = one.user_attrs.get(_OUTCOME)
    is_complete, has_failed = one.state == TrialState.COMPLETE, one.state == TrialState.FAIL
    why = one.user_attrs.get(_WHY, _ENDED if has_failed else "")
    # Usually it waits again by now; but whoever was to see to that may have been ended as well.
    is_lost = why == _INTERRUPTED or (why == _ENDED and one.user_attrs.get(_TRY, 0) < MOST_RETRIES)
    return Tried(
        number=one.number,
        plan=parse(Plan, one.user_attrs[_PLAN], where),
        state="stopped" if why == _TIME_UP else _STATES[one.state],
        gone=is_gone(one.user_attrs.get(_WORKER)),
        outcome=parse(Outcome, outcome, where) if is_complete and outcome is not None else None,
        why=str(why),
        lost=has_failed and is_lost,
    )
