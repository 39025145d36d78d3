"""The whole command, as a user runs it: interrupted, killed, resumed, and to its verdict."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import time
from pathlib import Path

import deploying
import pytest
from searching import OWN

import edgecompress.optimize
from edgecompress.errors import RuntimeMissing
from edgecompress.optimize import Asked, seconds_of
from edgecompress.progress import SilentProgress
from edgecompress.spec.load import load_deploy
from edgecompress.spec.search import SearchReport

OPTIMIZE = ("optimize", "tiny", "--inventory", "inventory.yaml", "--json", "--trials", "2")


ENDED = "SELECT COUNT(*) FROM trials WHERE state IN ('COMPLETE', 'FAIL', 'PRUNED')"


def until_trials(started: deploying.Started, folder: Path, count: int) -> None:
    """Wait until so many are done; what goes wrong before fails the test by its outcome."""
    file = folder / "runs" / "search.sqlite"
    while started.wait(0.05) is None:
        # Read by itself: optuna would write there whenever it opens one, and hold up the search.
        with contextlib.suppress(sqlite3.OperationalError):  # it is being made
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                (done,) = database.execute(ENDED).fetchone()
            if done >= count:
                return


@pytest.mark.slow
def test_interrupted_killed_and_resumed_it_ends_with_a_recipe_and_a_verdict(
    project: Path, cli: deploying.Cli
) -> None:
    (project / "deploy.yaml").write_text(OWN)
    started = cli.start(project, *OPTIMIZE)
    until_trials(started, project, 1)
    os.kill(started.pid, signal.SIGINT)
    done = started.wait()
    assert done is not None
    assert done.returncode == 130, done.stderr
    assert "run the same command again to resume" in done.stderr
    so_far = SearchReport.model_validate_json(json.dumps(json.loads(done.stdout)["search"]))
    assert so_far.interrupted
    assert [row.is_plain for row in so_far.front] == [True]

    started = cli.start(project, *OPTIMIZE)
    time.sleep(1.0)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()

    done = cli.run(project, *OPTIMIZE)
    assert done.returncode in deploying.MEASURED, done.stderr
    # The one that was interrupted, and the other if it was done before the kill.
    assert re.search(r"resumed: (1 trial|2 trials) done", done.stderr), done.stderr
    found = json.loads(done.stdout)
    report = SearchReport.model_validate_json(json.dumps(found["search"]))
    complete = [row for row in report.trials if row.state == "complete"]
    assert [row.is_plain for row in complete[:2]] == [True, False]
    assert {row.rung for row in complete} == {"proxy"}, "int8 loses nothing here"
    originals = [row for row in report.trials if row.what == "the original in float"]
    # The kill may have met it, and then it was done again.
    assert originals[-1].state == "complete"
    assert not any(row.on_front for row in originals)
    assert all(row.seconds is not None for row in complete)
    assert report.decision == found["report"]["verdict"]["decision"]
    # Plain int8 races beside what was found.
    assert {one["variant"] for one in found["report"]["race"]["entrants"]} >= {"original"}
    recipe = load_deploy(project / "best.yaml")
    assert recipe.quantize is not None
    assert recipe.budgets == load_deploy(project / "deploy.yaml").budgets
    page = project / "runs" / "searches" / report.search / "report.html"
    assert "The front of 3 trials" in page.read_text()  # with the original
    assert json.loads(page.with_name("report.json").read_text()) == found["search"]
    deploying.assert_sound(project)


def test_what_is_asked_wrongly_is_one_line(project: Path, cli: deploying.Cli) -> None:
    for arguments, code, words in (
        (("--time", "90"), 2, "a time with its unit"),
        (("--trials", "0"), 2, "must be 1 or more"),
        (("--study", "nonsense"), 2, "not a URL of a database"),
        (("--study", "postgresql+psycopg://u:secret@localhost:1/x"), 4, "localhost:1/x"),
    ):
        done = cli.run(project, "optimize", "tiny", "--inventory", "inventory.yaml", *arguments)
        assert done.returncode == code, done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert words in errors[0]
        assert "secret" not in done.stderr
        assert "defect" not in done.stderr


def test_a_search_without_its_library_says_what_adds_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edgecompress.optimize, "version_of", lambda _: None)
    with pytest.raises(RuntimeMissing, match=r"pip install 'edgecompress\[optimize\]'"):
        edgecompress.optimize.optimize(
            project / "deploy.yaml", "tiny", Asked(trials=1), SilentProgress()
        )


def test_a_recipe_that_is_searched_is_of_one_board(project: Path, cli: deploying.Cli) -> None:
    done = cli.run(project, "deploy", "tiny", "local", "--inventory", "inventory.yaml")
    assert done.returncode == 2
    assert "edgecompress optimize tiny" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("2h", 7200), ("1h30m", 5400), ("45s", 45), ("0.5h", 1800)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
