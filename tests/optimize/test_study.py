"""Processes that share a study, on SQLite and on a real PostgreSQL server: killed at any moment,
they lose nothing, and end with one front.
"""

import itertools
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import postgres
import pytest
from searching import TRIALS, Made, search
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from edgecompress.errors import DeviceError, RuntimeMissing, SpecError, StorageError
from edgecompress.optimize.front import front_of
from edgecompress.optimize.place import Place
from edgecompress.optimize.plan import FULL, Outcome, Plan, Tried
from edgecompress.optimize.schedule import FINALS
from edgecompress.optimize.space import Space
from edgecompress.optimize.study import MOST_RETRIES, Study


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Place]]:
    """Makes the place of one study; each process makes its own, and its own connections."""
    if request.param == "sqlite":
        # Characters that mean something in a URL.
        folder = tmp_path / "a {b}? #%20c"
        folder.mkdir()
        yield lambda: Place(folder / "search.sqlite")
        return
    why = postgres.missing()
    if why is not None:
        pytest.skip(f"PostgreSQL: {why}")
    with postgres.server() as url:
        yield lambda: Place(url)


@pytest.fixture
def made(space: Space, tmp_path: Path) -> Made:
    log = tmp_path / "log"
    log.touch()
    return Made(space, log)


def in_a_process(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def searched(trials: list[Tried]) -> list[Tried]:
    """What counts against the limit."""
    recipes = [one for one in trials if one.plan.kind != "original"]
    return [one for one in recipes if one.state == "complete" and one.plan.rung != FULL]


def test_killed_five_times_and_resumed_it_loses_nothing(
    made: Made, place: Callable[[], Place]
) -> None:
    source, kills = random.Random(0), 0
    while kills < 5:
        child = in_a_process(lambda: search(made, place))
        done = len(made.lines("done"))
        limit = time.monotonic() + 60
        # At work, and at a moment of no particular kind.
        while len(made.lines("done")) < done + 2 and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(source.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL
        kills += 1
    trials = search(made, place)
    assert len(searched(trials)) == TRIALS
    full = [one for one in trials if one.plan.rung == FULL and one.state == "complete"]
    assert 1 <= len(full) <= FINALS
    assert not [one for one in trials if one.state in ("running", "waiting")]
    # A kill costs the trial that it falls into, and no finished one: at most one may be done twice,
    # the one that was killed between its end and its being written down.
    again = len(made.lines("begun")) - len(set(made.lines("begun")))
    assert again <= kills
    assert sum(one.state == "failed" for one in trials) <= kills
    assert {(one.plan.key, one.plan.rung) for one in trials} == {
        (key, int(rung)) for key, rung in map(str.split, made.lines("done"))
    }
    # It proposes what it would have proposed undisturbed.
    before = [one.plan.key for one in trials if one.plan.kind == "plain"]
    assert before == [made.space.plain()[0].key]


def test_two_at_once_do_nothing_twice_and_end_with_one_front(
    made: Made, place: Callable[[], Place]
) -> None:
    children = [in_a_process(lambda: search(made, place)) for _ in range(2)]
    assert [ended(child) for child in children] == [0, 0]
    begun = made.lines("begun")
    assert len(begun) == len(set(begun))
    trials = search(made, place)
    assert made.lines("begun") == begun, "nothing was left to do"
    # Two may both begin the last.
    assert TRIALS <= len(searched(trials)) <= TRIALS + 1
    front = front_of(trials, made.aims)
    assert front
    losses = [made.aims.loss(outcome.metric) for _, outcome in front]
    assert losses == sorted(losses, reverse=True)


def test_what_takes_its_process_with_it_is_given_up(
    made: Made, place: Callable[[], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(plan: Plan, known: object) -> Outcome:
        if plan.kind == "drawn":
            os.kill(os.getpid(), signal.SIGKILL)
        return Made.tried(made, plan, known)

    monkeypatch.setattr(made, "tried", deadly)
    for _ in range(1 + MOST_RETRIES):
        assert ended(in_a_process(lambda: search(made, place, trials=2))) == -signal.SIGKILL
    trials = search(made, place, trials=2)
    states = [one.state for one in trials if one.plan.kind == "drawn"]
    assert states == ["failed"] * (1 + MOST_RETRIES)


def test_a_search_that_is_interrupted_leaves_its_trial_to_the_next(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(plan: Plan, known: object) -> Outcome:
        raise KeyboardInterrupt

    def where() -> Place:
        return Place(tmp_path / "study")

    with monkeypatch.context() as patched:
        patched.setattr(made, "tried", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(made, where)
    trials = search(made, where, trials=3)
    assert [one.state for one in trials[:2]] == ["failed", "complete"]
    assert trials[0].plan == trials[1].plan
    assert trials[0].why == "interrupted"


@pytest.fixture
def interrupting() -> Iterator[Callable[[int], None]]:
    """Has Ctrl-C come in the middle of the n-th statement from then on."""
    left = [0]

    def executed(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)

    event.listen(Engine, "after_cursor_execute", executed)
    yield lambda nth: left.__setitem__(0, nth)
    event.remove(Engine, "after_cursor_execute", executed)


def test_an_interrupt_within_a_call_of_the_database_leaves_it_whole(
    made: Made, interrupting: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite, where a connection that was left reading keeps everybody from writing."""
    monkeypatch.setattr("edgecompress.optimize.place._WAIT_S", 0.5)
    (plan, *_) = made.space.plain()
    outcome = made.tried(plan, None)
    states = []
    for nth in itertools.count(1):
        study = Study(Place(tmp_path / f"{nth}.sqlite"), "one", 0, maximises=True)
        study.add(plan)
        claimed = study.claim(lambda _: plan)
        with study.beating(claimed):
            pass
        interrupting(nth)
        try:
            study.finish(claimed, outcome)
            study.trials()
        except KeyboardInterrupt:
            study.release(claimed)
        else:
            break
        states.append([one.state for one in study.trials()])
    # What was done is not asked for again.
    assert states == [["complete"]] * len(states)
    assert len(states) > 10


def test_one_bad_recipe_is_told_and_the_search_goes_on(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(plan: Plan, known: object) -> Outcome:
        if plan.params.get("train") == "qat":
            raise ZeroDivisionError("of ours")
        return Made.tried(made, plan, known)

    monkeypatch.setattr(made, "tried", broken)
    trials = search(made, lambda: Place(tmp_path / "study"), trials=4)
    failed = [one for one in trials if one.state == "failed"]
    assert failed
    assert "ZeroDivisionError: of ours" in failed[0].why
    assert "defect" in failed[0].why


def test_a_space_that_is_used_up_ends_the_search(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecompress.optimize.search._USED_UP", 3)
    made.space = replace(made.space, trains=False)
    trials = search(made, lambda: Place(tmp_path / "study"), trials=1000)
    points = {one.plan.key for one in trials if one.plan.kind == "drawn"}
    assert 3 <= len(points) <= 24
    assert len(made.lines("begun")) == 1 + len(points)


def test_a_longer_search_goes_on_where_a_shorter_one_ended(made: Made, tmp_path: Path) -> None:
    def where() -> Place:
        return Place(tmp_path / "study")

    short = search(made, where, trials=6)
    whole = search(made, where, trials=12)
    assert whole[: len(short)] == [one.model_copy(update={"gone": one.gone}) for one in short]
    assert len(searched(whole)) == 12


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("nonsense", SpecError, "not a URL of a database"),
        ("postgresql+psycopg://user:secret@", DeviceError, "run the same command again"),
        ("postgresql+psycopg://user:secret@localhost:1/x", DeviceError, "localhost:1/x"),
        ("nosuch://user:secret@host/x", SpecError, "knows no database of nosuch://host/x"),
        ("mysql+nodriver://user:secret@host/x", SpecError, "mysql+nodriver://host/x"),
        ("oracle://user:secret@host/x?token=secret", RuntimeMissing, "pip install"),
        ("sqlite:////nowhere/at/all.sqlite", DeviceError, "unable to open"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_line_without_secrets(
    url: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        Study(Place(url), "one", 0, maximises=True)
    text = str(caught.value)
    assert words in text
    assert "secret" not in text
    assert "\n" not in text


def test_a_full_disk_or_a_lock_is_no_damage(tmp_path: Path) -> None:
    place = Place(tmp_path / "search.sqlite")
    for said in ("database is locked", "database or disk is full"):
        with pytest.raises(StorageError) as caught, place.call():
            raise OperationalError("insert", {}, sqlite3.OperationalError(said))
        assert "search.sqlite" in str(caught.value)
        assert "move it away" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="runs"):
        Place(tmp_path / "runs" / "search.sqlite")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "search.sqlite"
    file.write_bytes(b"no database " * 100)
    with pytest.raises(StorageError, match=r"search\.sqlite: .*move it away"):
        Study(Place(file), "one", 0, maximises=True)
