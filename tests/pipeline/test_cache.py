"""What is done again after a change: what depends on it, and nothing else."""

import json
import shutil
import sqlite3
from pathlib import Path

import deploying
import pytest

MEASURED = {"measure"}
TRAINED = {"train", "prune", "finetune", "quantize"}


@pytest.fixture
def project(tmp_path: Path, undisturbed) -> Path:
    """Where a deploy has been done; nothing has been asked for since."""
    folder = Path(shutil.copytree(undisturbed.folder, tmp_path / "project"))
    (folder / deploying.LOG).unlink()
    return folder


def again(folder: Path, cli: deploying.Cli) -> tuple[set[str], dict[str, object]]:
    """The stages that another deploy does again, and the essence of its report."""
    report = deploying.deploy(folder, cli)
    stages = deploying.cached(report)
    return {name for name, was_cached in stages.items() if not was_cached}, deploying.essence(
        report
    )


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def corrupt(folder: Path, stage: str, label: str) -> Path:
    """Change one byte of what a stage left in the store."""
    index = sqlite3.connect(folder / "runs" / "index.sqlite")
    query = "SELECT sha256 FROM blobs JOIN stages ON key = stage WHERE name = ? AND label = ?"
    ((sha256,),) = index.execute(query, (stage, label)).fetchall()
    index.close()
    blob = folder / "runs" / "store" / sha256[:2] / sha256
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 0xFF
    blob.write_bytes(content)
    return blob


def test_the_first_deploy_does_everything_once(undisturbed) -> None:
    stages = deploying.cached(undisturbed.report)
    assert not any(stages.values())
    assert set(stages) > TRAINED | MEASURED
    assert undisturbed.epochs == 2 + 2 + 2
    assert len((undisturbed.folder / deploying.LOG).read_text().splitlines()) == 1 + 6


def test_an_identical_deploy_only_measures(project: Path, undisturbed, cli: deploying.Cli) -> None:
    redone, essence = again(project, cli)
    assert redone == MEASURED
    # The task was asked for no training data, not even to look at it.
    assert not (project / deploying.LOG).exists()
    assert essence == deploying.essence(undisturbed.report)


def test_new_budgets_train_nothing(project: Path, cli: deploying.Cli) -> None:
    replace(project / "deploy.yaml", "max_metric_drop: 0.5", "max_metric_drop: 0.25")
    redone, _ = again(project, cli)
    assert redone == MEASURED
    assert deploying.epochs(project) == 0


def test_another_rate_for_qat_leaves_what_came_before(project: Path, cli: deploying.Cli) -> None:
    replace(project / "deploy.yaml", "learning_rate: 0.005", "learning_rate: 0.004")
    redone, _ = again(project, cli)
    after = {"export quantised", "inspect 2", "evaluate 2", "sensitivity", "look"}
    assert redone == {"quantize"} | after | MEASURED
    assert deploying.epochs(project) == 2


def test_another_source_of_the_task_redoes_all(
    project: Path, undisturbed, cli: deploying.Cli
) -> None:
    with (project / "task.py").open("a") as file:
        file.write("# changed\n")
    redone, essence = again(project, cli)
    assert redone == set(deploying.cached(undisturbed.report))
    assert deploying.epochs(project) == undisturbed.epochs
    assert essence["candidate"] == deploying.essence(undisturbed.report)["candidate"]


@pytest.mark.parametrize(
    ("stage", "label", "trained"),
    [("export quantised", "file", 0), ("finetune", "model", 2)],
)
def test_a_corrupt_blob_is_noticed_and_made_again(
    project: Path, undisturbed, cli: deploying.Cli, stage: str, label: str, trained: int
) -> None:
    blob = corrupt(project, stage, label)
    redone, essence = again(project, cli)
    assert redone == {stage} | MEASURED
    assert deploying.epochs(project) == trained
    assert essence == deploying.essence(undisturbed.report)
    assert (project / "runs" / "quarantine" / blob.name).exists()
    deploying.assert_sound(project)


def test_two_deploys_at_once_share_the_work(
    tmp_path: Path, undisturbed, cli: deploying.Cli
) -> None:
    folder = deploying.fresh(tmp_path / "project")
    both = [cli.start(folder) for _ in range(2)]
    reports = [json.loads(done.stdout) for started in both if (done := started.wait())]
    for report in reports:
        assert deploying.essence(report) == deploying.essence(undisturbed.report)
    ways = [deploying.cached(report) for report in reports]
    for stage in set(ways[0]) - MEASURED:
        assert sorted(way[stage] for way in ways) == [False, True], stage
    assert deploying.epochs(folder) == undisturbed.epochs
    deploying.assert_sound(folder)
