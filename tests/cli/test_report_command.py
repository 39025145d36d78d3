"""`edgecompress report`: one run, two, or all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from reports import synthetic_report

from edgecompress.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports")
    store = Store(path / "runs")
    for accuracy in (0.5, 0.625):
        run = store.start_run("a-target-with-a-long-name", "0" * 64)
        store.finish_run(run, synthetic_report(run, accuracy), "<!doctype html>")
    return path


def report(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecompress", "report", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_two_runs_stand_side_by_side(folder: Path) -> None:
    newest, first = (row.id for row in Store(folder / "runs").runs())
    done = report(folder, first, newest)
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = (line.split() for line in done.stdout.splitlines() if line.strip())
    assert head == [first, newest, "change"]
    assert ["accuracy", "0.5000", "0.6250", "+0.1250"] in lines
    page = folder / "runs" / first / f"beside-{newest}.html"
    assert f"report: runs/{first}/{page.name}" in done.stdout
    assert "0.6250" in page.read_text()
    document = json.loads(report(folder, first, newest, "--json").stdout)
    assert [each["run"] for each in document["reports"]] == [first, newest]


def test_all_runs_are_one_page(folder: Path) -> None:
    done = report(folder, "--all")
    assert (done.returncode, done.stderr) == (0, "")
    page = (folder / "runs" / "all.html").read_text()
    for row in Store(folder / "runs").runs():
        # Names stay whole, and no line of a pipe is padded.
        assert row.id in done.stdout
        assert row.id in page
    assert "a-target-with-a-long-name" in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())
    assert report(folder, "--all", "--html").stdout == "runs/all.html\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a run, such as 'latest', or give --all"),
        (("latest", "--all"), "not both"),
        (("latest", "nothing"), "run 'nothing' is unknown; recent: "),
        (("--all", "--runs", "empty"), "no runs there; deploy first"),
    ],
)
def test_what_is_wrong_says_what_to_do(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = report(folder, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
