"""The data of a task is looked at when it is loaded: once for each recipe, and never more."""

from pathlib import Path

import deploying
import pytest
import torch

from edgecompress.errors import TaskError
from edgecompress.pipeline.loading import load, load_scored
from edgecompress.spec.load import load_deploy
from edgecompress.store import Store


class Project:
    """The tiny project; its task says when training data is asked for."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = deploying.fresh(folder)
        self.wanted = load_deploy(self.folder / "deploy.yaml")
        self.store = Store(folder / "runs")
        self.log = log

    @property
    def asked(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "log"))
    return Project(tmp_path / "project", tmp_path / "log")


def test_what_was_looked_at_is_not_looked_at_again(project: Project) -> None:
    first = load(project.wanted, project.folder, project.store)
    assert project.asked == 1
    second = load(project.wanted, project.folder, project.store)
    assert project.asked == 1
    assert (second.fingerprint, second.checked) == (first.fingerprint, first.checked)
    # Untrained weights and made-up data are the same in every run.
    for one, two in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two)
    for change in ({"seed": 1}, {"quantize": None}):
        wanted = project.wanted.model_copy(update=change)
        assert load(wanted, project.folder, project.store).checked != first.checked
    assert project.asked == 3


def test_who_scores_a_file_asks_for_no_training_data(project: Project) -> None:
    task, model = load_scored(project.wanted, project.folder)
    assert len(list(task.eval_data())) == 4
    assert not model.training
    assert project.asked == 0


def test_wrong_data_is_wrong_each_time(project: Project) -> None:
    task = project.folder / "task.py"
    task.write_text(task.read_text().replace("+ noise, labels", "+ noise, labels + 8"))
    for _ in range(2):
        with pytest.raises(TaskError, match="label"):
            load(project.wanted, project.folder, project.store)
    with pytest.raises(TaskError, match="label"):
        load_scored(project.wanted, project.folder)
