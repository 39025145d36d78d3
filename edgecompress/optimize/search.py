"""The loop of a search: one trial after the other, until the limits are reached."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from edgecompress.defect import told_as_defect
from edgecompress.errors import (
    AgentError,
    ArtifactError,
    EdgecompressError,
    ModelError,
    RuntimeMissing,
    SpecError,
    TaskError,
)
from edgecompress.optimize.bench import Bench, Known, TimeUp
from edgecompress.optimize.front import by_preference, complete, shippable
from edgecompress.optimize.plan import FULL, Outcome, Plan, Tried
from edgecompress.optimize.schedule import (
    SEARCH_SHARE,
    Left,
    Situation,
    next_step,
    offer,
)
from edgecompress.optimize.study import Claimed, Study
from edgecompress.optimize.words import words_of
from edgecompress.report.figures import factor, milliseconds, plain
from edgecompress.task.used import FilesChanged

_POLL_S = 1.0
"""How often another process is looked for that is still at a trial."""
_GRACE = 0.15
"""A trial may take so much of all the time beyond what was planned for it, before it is left."""
_USED_UP = 25
"""After so many known points in succession there are hardly others."""
_OF_THE_RECIPE = (ModelError, ArtifactError, RuntimeMissing, SpecError, AgentError, TaskError)
"""What fails of one recipe says nothing against the next; a metric that is no number, say, is of
what one training made.
"""


@dataclass(frozen=True)
class Limits:
    """When a search ends, with what earlier processes took of it; the first that is reached."""

    seconds: float | None = None
    trials: int | None = None
    """Without those that train the front in full, and without the originals."""


@dataclass
class Search:
    """One process's part of a search."""

    bench: Bench
    study: Study
    limits: Limits
    _ends: float | None = field(init=False, default=None)
    """A moment of `time.monotonic`; None: there is no such limit."""
    _in_vain: int = field(init=False, default=0)
    """How many points in succession were proposed that are known."""

    def run(self) -> None:
        """Try until it is over; others that share the study are waited for.

        Raises:
            KeyboardInterrupt: the trial that was running waits to be tried again.
            ModelError: nothing can be made of the model at all.
            EdgecompressError: the task, the device or the database.

        """
        self.study.tidy()
        self._leave_outdated()
        trials = self.study.trials()
        if self.limits.seconds is not None:
            spent = sum(row.seconds for one, row in complete(trials) if one.gone)
            self._ends = time.monotonic() + self.limits.seconds - spent
        if trials:
            self._tell(f"resumed: {self._progress(trials)}")
        while self._step():
            pass
        trials = self.study.trials()
        if not shippable(trials):
            why = next((one.why for one in trials if one.why), "nothing ran")
            raise ModelError(f"nothing could be made of the model for this board: {why}")

    def _leave_outdated(self) -> None:
        """Not to count what came of files that hold something else now."""
        rows = complete(self.study.trials())
        changes = {read: self.bench.changed(read) for read in {row.read for _, row in rows} if read}
        outdated = {one.number for one, row in rows if changes.get(row.read or "") is not None}
        if outdated:
            path = next(filter(None, changes.values()))
            many = f"{len(outdated)} earlier trial{'s' * (len(outdated) != 1)}"
            self._tell(f"{path} has changed; {many} will not count")
            self.study.leave(outdated)

    def _step(self) -> bool:
        """Whether there was something to do, or to wait for."""
        self.study.tidy()
        trials = self.study.trials()
        left = self._left(trials)
        waiting = [one.plan.kind for one in trials if one.state == "waiting"]
        if "plain" in waiting or (waiting and not left.is_over):
            self._take(left, trials)
            return True
        step = next_step(Situation(self.bench.space, self.bench.aims, trials, left))
        if step is None:
            return self._wait(trials)
        if isinstance(step, Plan):
            self.study.add(step)
        self._take(left, trials)
        return True

    def _wait(self, before: Sequence[Tried]) -> bool:
        """Until something comes of what other processes are at; whether they are at anything."""
        if not any(one.state == "running" for one in before):
            return False
        states, must = [one.state for one in before], not shippable(before)
        with self.bench.progress.stage("waiting for the trials of another process"):
            while [one.state for one in self.study.trials()] == states:
                # It may have more time than this one.
                if not must and self._is_past(_GRACE):
                    return False
                time.sleep(_POLL_S)
                self.study.tidy()
        return True

    def _is_past(self, share: float) -> bool:
        """Whether the time is over by that share of it."""
        if self._ends is None or self.limits.seconds is None:
            return False
        return time.monotonic() > self._ends + share * self.limits.seconds

    def _left(self, trials: Sequence[Tried]) -> Left:
        seconds = None if self._ends is None else self._ends - time.monotonic()
        wanted = self.limits.trials
        recipes = [one for one in trials if one.counts and one.plan.kind != "original"]
        done = {(one.plan.key, one.plan.rung) for one in recipes if one.plan.rung != FULL}
        count = None if wanted is None else max(wanted - len(done), 0)
        of_seconds = 0.0 if self.limits.seconds is None else self.limits.seconds
        return Left(count, seconds, of_seconds, points=self._in_vain < _USED_UP)

    def _take(self, left: Left, trials: Sequence[Tried]) -> None:
        offered = offer(Situation(self.bench.space, self.bench.aims, trials, left))
        claimed = self.study.claim(partial(self.bench.space.draw, offer=offered))
        twin = self.study.twin(claimed)
        if twin is not None:
            self.study.same(claimed, twin)
            self._in_vain += claimed.is_new
            return
        self._in_vain = 0
        words = words_of(self.bench.space.config(claimed.plan))
        title = f"trial {claimed.number + 1}, {words} ({claimed.plan.target})"
        try:
            with self.study.beating(claimed), self.bench.progress.stage(title):
                outcome = self.bench.tried(claimed.plan, self._known(claimed, left, trials))
            self.study.finish(claimed, outcome)
        except TimeUp:
            self.study.stop(claimed)
            self._tell(f"trial {claimed.number + 1}: left, because the time is over")
        except Exception as error:
            if not _is_of_the_recipe(error):
                self.study.release(claimed)
                raise
            is_ours = isinstance(error, EdgecompressError)
            self._fail(claimed, str(error) if is_ours else told_as_defect(error))
        except BaseException:
            self.study.release(claimed)
            raise
        else:
            now = self.study.trials()
            self._tell(f"trial {claimed.number + 1}: {_told(outcome)}; {self._progress(now)}")
        self.bench.keep_hints()

    def _fail(self, claimed: Claimed, why: str) -> None:
        self.study.fail(claimed, why)
        self._tell(f"trial {claimed.number + 1} failed: {why}")

    def _known(self, claimed: Claimed, left: Left, trials: Sequence[Tried]) -> Known:
        rows = complete(trials)
        plain_rows = [row for row in rows if row[0].plan.kind == "plain"]
        reference = min(plain_rows, key=lambda row: row[0].number, default=None)
        plan, space = claimed.plan, self.bench.space
        shape = space.shape(plan)
        same = [out.latency_ms_p50 for one, out in rows if space.shape(one.plan) == shape]
        return Known(
            None if reference is None else (reference[0].plan, reference[1]),
            same[0] if same else None,
            lambda: self._is_over(left, plan),
        )

    def _is_over(self, left: Left, plan: Plan) -> bool:
        """Whether a trial that was begun with so much left is to be left."""
        if self._ends is None or plan.kind == "plain":
            return False
        end, whole = self._ends, left.of_seconds
        if plan.rung == FULL:
            end += _GRACE * whole
        elif left.is_searching:
            end -= (1 - SEARCH_SHARE - _GRACE) * whole
        return time.monotonic() > end

    def _tell(self, text: str) -> None:
        self.bench.progress.note(text)

    def _progress(self, trials: Sequence[Tried]) -> str:
        """'12 trials done, best so far 0.412 ms at 0.9312 (1.62x plain int8), 43 min left'"""
        rows = complete(trials)
        told = [f"{len(rows)} trial{'s' * (len(rows) != 1)} done"]
        best = by_preference(trials, self.bench.aims)
        if best:
            outcome = best[0][1]
            plain_ms = [row.latency_ms_p50 for one, row in rows if one.plan.kind == "plain"]
            gain = ""
            if plain_ms:
                gain = f" ({factor(min(plain_ms) / outcome.latency_ms_p50)} plain int8)"
            told.append(f"best so far {_figures(outcome)}{gain}")
        if self._ends is not None:
            told.append(_in_words(max(self._ends - time.monotonic(), 0.0)))
        elif self.limits.trials is not None:
            count = self._left(trials).trials
            told.append(f"{count} of {self.limits.trials} trials left, then the front's training")
        return ", ".join(told)


def _is_of_the_recipe(error: Exception) -> bool:
    """Whether the next recipe may do better; a defect is no reason to lose the others, either."""
    if isinstance(error, EdgecompressError):
        return isinstance(error, _OF_THE_RECIPE) and not isinstance(error, FilesChanged)
    return True


def _told(outcome: Outcome) -> str:
    figures = _figures(outcome) + ("" if outcome.exact else " by proxy")
    return f"{figures}, took {outcome.seconds:.0f} s"


def _figures(outcome: Outcome) -> str:
    return f"{milliseconds(outcome.latency_ms_p50)} at {plain(outcome.metric)}"


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 120 else f"{seconds / 60:.0f} min left"
