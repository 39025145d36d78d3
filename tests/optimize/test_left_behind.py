"""States that a process leaves behind when it is ended at the worst moment, and files that change
between two searches: the next search goes on from there, and from nothing that is no longer true.
"""

import os
from functools import partial
from pathlib import Path

import pytest
from optuna.trial import TrialState
from searching import Made, search

from edgecompress.errors import TaskError
from edgecompress.optimize import study as study_module
from edgecompress.optimize.bench import TimeUp
from edgecompress.optimize.openers import openers
from edgecompress.optimize.place import Place
from edgecompress.optimize.plan import Outcome, Plan
from edgecompress.optimize.reads import Reads
from edgecompress.optimize.search import Limits, Search
from edgecompress.optimize.space import Offer, Space
from edgecompress.optimize.study import Claimed, Study
from edgecompress.task.guard import user_code
from edgecompress.task.hashes import Hashes
from edgecompress.task.used import FilesChanged, Used


@pytest.fixture
def made(space: Space, tmp_path: Path) -> Made:
    log = tmp_path / "log"
    log.touch()
    return Made(space, log)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "study")


def test_who_is_ended_while_it_takes_a_trial_holds_up_nobody(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended() -> dict[str, object]:
        raise SystemExit

    study = Study(place, "one", 0, maximises=True)
    study.add(made.space.plain()[0])
    with monkeypatch.context() as patched:
        patched.setattr(study_module, "this_worker", ended)
        with pytest.raises(SystemExit):
            study.claim(made.space.draw)
    study.close()
    monkeypatch.setattr(study_module, "SILENT_S", 0.2)
    trials = search(made, lambda: place, trials=2)
    plain = [one.state for one in trials if one.plan.kind == "plain"]
    assert plain == ["failed", "complete"]


def test_a_second_interrupt_before_the_trial_waits_again_loses_it_not(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(made, "tried", interrupted)
        # Between the mark on the trial and its place among those that wait.
        patched.setattr(Study, "release", lambda self, one: _end_only(self, one))
        with pytest.raises(KeyboardInterrupt):
            search(made, lambda: place)
    trials = search(made, lambda: place, trials=2)
    assert [one.state for one in trials if one.plan.kind == "plain"] == ["failed", "complete"]


def _end_only(study: Study, claimed: Claimed) -> None:
    study._end(claimed, TrialState.FAIL, study_module._INTERRUPTED)


def test_what_waits_of_plain_int8_is_tried_when_the_time_is_over(made: Made, place: Place) -> None:
    study = Study(place, "one", 0, maximises=True)
    study.add(made.space.plain()[0])
    Search(made, study, Limits(seconds=-1.0)).run()  # type: ignore[arg-type]
    assert [one.state for one in study.trials()] == ["complete"]
    study.close()


def test_whose_time_is_over_waits_no_longer_for_another_that_has_more(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(made, lambda: place, trials=2)
    study, other = (Study(place, "one", 0, maximises=True) for _ in range(2))
    other.add(made.space.plain()[0].on(1, 2))
    claimed = other.claim(made.space.draw)
    monkeypatch.setattr("edgecompress.optimize.search._POLL_S", 0.01)
    with other.beating(claimed):
        Search(made, study, Limits(seconds=0.01)).run()  # type: ignore[arg-type]
    assert "running" in [one.state for one in study.trials()]
    study.close()
    other.close()


def test_of_a_plan_that_is_tried_again_the_sampler_learns_what_it_is(
    made: Made, place: Place
) -> None:
    study = Study(place, "one", 0, maximises=True)
    for at, allocation in enumerate(("global", "sensitivity", "uniform", "global")):
        opener = list(openers(made.space, "tiny"))[1]
        plan = opener.model_copy(update={"params": {**opener.params, "allocation": allocation}})
        study.add(plan.on(1, 2))
        claimed = study.claim(partial(made.space.draw, offer=Offer("another" if at % 2 else None)))
        assert claimed.plan.params["allocation"] == allocation
        assert claimed.trial.params["allocation without a table" if at % 2 else "allocation"] == (
            allocation
        )
        study.stop(claimed)
    study.close()


def test_a_recipe_whose_metric_is_no_number_fails_alone(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(plan: Plan, known: object) -> Outcome:
        if plan.params.get("train") == "qat":
            raise TaskError("Tiny.metric(): MeanSquaredError is nan, not a number")
        return Made.tried(made, plan, known)

    monkeypatch.setattr(made, "tried", diverges)
    trials = search(made, lambda: place, trials=4)
    assert any("is nan" in one.why for one in trials if one.state == "failed")
    assert sum(one.state == "complete" for one in trials) >= 2


def test_a_file_that_changes_meanwhile_ends_the_search_and_fails_no_recipe(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes(plan: Plan, known: object) -> Outcome:
        raise FilesChanged("data.csv: changed while the deploy was at work with it; deploy again")

    with monkeypatch.context() as patched:
        patched.setattr(made, "tried", changes)
        with pytest.raises(FilesChanged):
            search(made, lambda: place)
    assert search(made, lambda: place, trials=2)[1].state == "complete"


def test_where_plain_int8_cannot_be_made_nothing_else_is_drawn(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(plan: Plan, known: object) -> Outcome:
        raise TaskError("nothing in it can be quantised")

    monkeypatch.setattr(made, "tried", impossible)
    with pytest.raises(Exception, match="nothing in it can be quantised"):
        search(made, lambda: place, trials=1000)
    study = Study(place, "one", 0, maximises=True)
    assert [one.plan.kind for one in study.trials()] == ["plain"]
    study.close()


def test_the_end_of_the_time_is_no_fault_of_the_code_that_runs() -> None:
    with pytest.raises(TimeUp), user_code("the model on a batch"):
        raise TimeUp


def test_trials_of_data_that_have_changed_do_not_count(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(plan: Plan, known: object) -> Outcome:
        return Made.tried(made, plan, known).model_copy(update={"read": "then"})

    with monkeypatch.context() as patched:
        patched.setattr(made, "tried", read)
        before = search(made, lambda: place, trials=3)
    assert all(one.state == "complete" for one in before)
    monkeypatch.setattr(made, "changed", lambda read: "data.csv" if read == "then" else None)
    trials = search(made, lambda: place, trials=3)
    assert {one.state for one in trials[: len(before)]} == {"outdated"}
    plain = [one for one in trials if one.plan.kind == "plain" and one.state == "complete"]
    assert len(plain) == 1


def test_what_was_read_is_told_from_what_is_there_now(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1")
    with Used(tmp_path, (), (tmp_path / "runs",), Hashes(b"{}")) as used:
        data.read_text()
        reads = Reads(tmp_path / "runs" / "read", used)
        name = reads.keep()
        assert reads.keep() == name
        assert reads.changed(name) is None
        assert reads.changed("of another machine") is None
    data.write_text("2")
    with Used(tmp_path, (), (tmp_path / "runs",), Hashes(b"{}")) as used:
        assert Reads(tmp_path / "runs" / "read", used).changed(name) == os.fspath(data)
