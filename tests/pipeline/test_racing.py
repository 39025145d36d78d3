"""Who is made as it would ship, in which order, and what is said of those who lost."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgecompress.errors import ModelError
from edgecompress.measure.race import Ran
from edgecompress.pipeline import racing
from edgecompress.pipeline.attempt import Against
from edgecompress.pipeline.keeping import Means
from edgecompress.pipeline.racing import MOST_TRIED
from edgecompress.pipeline.runners import Runner, best_float

FLOAT_MS = 1.0


class Board:
    """A race that has been run, and verdicts that are known beforehand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **verdicts: str) -> None:
        self.verdicts, self.made = verdicts, list[str]()
        self.worse = set[str]()
        """Variants that more than one check refuses."""
        self.runners = [self._runner("original", FLOAT_MS)]
        monkeypatch.setattr(racing, "attempt", self._attempt)

    def add(self, variant: str, latency_ms: float) -> "Board":
        self.runners.append(self._runner(variant, latency_ms))
        return self

    def walk(self) -> Any:
        means: Any = Means(SimpleNamespace(), None)  # type: ignore[arg-type]
        return racing._first_that_ships(self.runners, best_float(self.runners), means, Against())

    def endings(self) -> dict[str, str | None]:
        return {one.entrant.variant: one.ending for one in self.runners}

    def _runner(self, variant: str, latency_ms: float) -> Runner:
        entrant: Any = SimpleNamespace(
            variant=variant, name=f"{variant} here", is_original=variant == "original"
        )
        target = SimpleNamespace(name="local-here", runtime=SimpleNamespace(threads=1))
        job: Any = SimpleNamespace(variant=variant, recipe=SimpleNamespace(target=target))
        file: Any = SimpleNamespace(sha256=variant, path=Path(variant))
        return Runner(entrant, job, file, Ran(costs_ms=[latency_ms] * 2))

    def _attempt(self, job: Any, *_: object, pushes: bool) -> Any:
        assert not pushes
        self.made.append(job.variant)
        decision = self.verdicts[job.variant]
        if decision == "cannot be made":
            raise ModelError("no counterpart")
        kind = "speed" if decision == "too slow" else "metric"
        decision = "refuse" if decision == "too slow" else decision
        outcome = {"ship": "pass", "refuse": "fail"}.get(decision, decision)
        check = SimpleNamespace(text=f"{decision} because", kind=kind, outcome=outcome)
        unmet = 2 if job.variant in self.worse else 1
        judgement = SimpleNamespace(decision=decision, checks=(check,) * unmet)
        evaluation = SimpleNamespace(value=0.9)
        results = SimpleNamespace(candidate=SimpleNamespace(evaluation=evaluation))
        return SimpleNamespace(job=job, judgement=judgement, results=results)


def test_the_fastest_that_is_not_refused_ships_and_the_slower_are_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(monkeypatch, recipe="refuse", ptq="ship", float="ship")
    board.add("float", 0.8).add("recipe", 0.2).add("ptq", 0.2)
    assert board.walk().job.variant == "ptq"
    assert board.made == ["recipe", "ptq"]
    assert board.endings() == {
        **{"original": "slower", "float": "slower"},
        **{"recipe": "refused", "ptq": "won"},
    }
    (slower,) = [one for one in board.runners if one.entrant.variant == "float"]
    assert slower.why == "took 4.00 times as long as ptq here"


def test_a_net_that_int8_slows_down_or_spoils_ships_in_float_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(monkeypatch, recipe="refuse", float="ship")
    board.add("float", 0.8).add("recipe", 0.3).add("direct", 1.4)
    assert board.walk().job.variant == "float"
    # What is slower than the original is not even tried.
    assert board.made == ["recipe", "float"]

    nothing = Board(monkeypatch, recipe="refuse").add("recipe", 0.3).add("direct", 1.4)
    found = nothing.walk()
    assert (found.job.variant, found.judgement.decision) == ("recipe", "refuse")
    assert nothing.endings() == {"original": "won", "recipe": "refused", "direct": "slower"}

    slow = Board(monkeypatch, direct="refuse").add("recipe", 1.6).add("direct", 1.4)
    assert slow.walk().job.variant == "direct"
    assert slow.endings()["original"] == "won"


def test_of_several_that_are_refused_the_report_has_what_the_fewest_checks_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(monkeypatch, float="refuse", recipe="refuse", ptq="refuse")
    board.add("float", 0.1).add("recipe", 0.2).add("ptq", 0.3)
    board.worse.add("float")
    assert board.walk().job.variant == "recipe"
    assert board.made == ["float", "recipe", "ptq"]


def test_where_the_fastest_is_too_slow_the_next_is_not_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(monkeypatch, recipe="too slow").add("recipe", 0.7).add("float", 0.8)
    assert board.walk().judgement.decision == "refuse"
    assert board.made == ["recipe"]


def test_only_so_many_are_trained_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"v{index}" for index in range(MOST_TRIED + 2)]
    board = Board(monkeypatch, **dict.fromkeys(names, "refuse"))
    for index, name in enumerate(names):
        board.add(name, 0.1 + 0.1 * index)
    assert board.walk().job.variant == "v0"
    assert board.made == names[:MOST_TRIED]


def test_what_the_clock_cannot_tell_is_no_reason_to_try_the_slower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(monkeypatch, recipe="unmeasured").add("recipe", 0.2).add("float", 0.5)
    assert board.walk().judgement.decision == "unmeasured"
    assert board.made == ["recipe"]
    assert board.endings()["recipe"] == "uncertain"
    assert "won" not in board.endings().values()


def test_what_cannot_be_made_is_told_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(monkeypatch, recipe="cannot be made", float="ship")
    board.add("recipe", 0.2).add("float", 0.5)
    assert board.walk().job.variant == "float"
    assert board.endings()["recipe"] == "failed"
    alone = Board(monkeypatch, recipe="cannot be made").add("recipe", 0.2)
    with pytest.raises(ModelError, match=r"nothing could be made of the model .*: no counterpart"):
        alone.walk()
