"""`edgecompress init`: what it writes is valid, and nothing is overwritten."""

import sys
from pathlib import Path

import pytest
import torch

from edgecompress.errors import SpecError, StorageError
from edgecompress.init import write_start
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.recipe import resolve
from edgecompress.task import ClassificationTask
from edgecompress.task.load import load_task


def test_deploy_yaml_is_valid_for_every_bundled_target_family(tmp_path: Path) -> None:
    started = write_start(tmp_path / "new")
    assert [path.name for path in started.written] == ["deploy.yaml", "task.py"]
    assert started.next == f"cd {tmp_path / 'new'} && edgecompress deploy local"
    config = load_deploy(tmp_path / "new" / "deploy.yaml")
    for name in ("local-onnxruntime", "raspberry-pi-5-onnxruntime"):
        assert resolve(load_target(name), config).distill is not None


@pytest.mark.parametrize("sklearn", [True, False], ids=["digits", "patterns"])
def test_the_task_can_be_imported_and_fed(
    tmp_path: Path, sklearn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sklearn:
        for name in ("sklearn", "sklearn.datasets"):
            monkeypatch.setitem(sys.modules, name, None)
    write_start(tmp_path)
    task = load_task(load_deploy(tmp_path / "deploy.yaml").task, tmp_path)
    assert isinstance(task, ClassificationTask)
    model = task.model().eval()
    outputs = model(*task.example_inputs())
    assert outputs.shape == (1, task.classes)
    inputs, target = next(iter(task.train_data()))
    assert torch.isfinite(task.loss(model(inputs), target))
    evaluation = list(task.eval_data())
    assert sum(len(labels) for _, labels in evaluation) > 300
    assert all(images.shape[1:] == (1, 16, 16) for images, _ in evaluation)
    again = list(task.eval_data())
    assert all(torch.equal(a[0], b[0]) for a, b in zip(evaluation, again, strict=True))


@pytest.mark.parametrize("name", ["deploy.yaml", "task.py"])
def test_a_file_that_is_there_is_kept_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SpecError) as caught:
        write_start(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / name}: is there already; name another folder: edgecompress init DIR"
    )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/new: cannot be written: Not a directory"):
        write_start(tmp_path / "file" / "new")
