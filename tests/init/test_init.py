"""`edgecompress init`: what it writes is valid, and nothing is overwritten."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from edgecompress.errors import SpecError, StorageError
from edgecompress.init import kinds, write_start
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.recipe import resolve
from edgecompress.task import ClassificationTask, DetectionTask, MulticlassAccuracy
from edgecompress.task.check import Reads, check_data
from edgecompress.task.load import load_task, original_model

KINDS = (
    "audio",
    "classification",
    "detection",
    "embedding",
    "multilabel",
    "regression",
    "segmentation",
    "sequence",
)


def test_every_kind_has_an_example() -> None:
    assert kinds() == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_deploy_yaml_is_valid_for_every_bundled_target_family(tmp_path: Path, kind: str) -> None:
    started = write_start(tmp_path / "new", kind)
    assert [path.name for path in started.written] == ["deploy.yaml", "task.py"]
    assert started.next == f"cd {tmp_path / 'new'} && edgecompress deploy local"
    config = load_deploy(tmp_path / "new" / "deploy.yaml")
    for name in ("local-onnxruntime", "raspberry-pi-5-onnxruntime"):
        assert resolve(load_target(name), config).distill is not None


def few(data: Iterable[Any]) -> Iterator[Any]:
    return islice(iter(data), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_keeps_to_its_kind(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the one that is missing in some environments, all but the metric is looked at.
    monkeypatch.setattr(DetectionTask, "metric", MulticlassAccuracy)
    monkeypatch.setattr(DetectionTask, "update", lambda *_: None)
    write_start(tmp_path, kind)
    torch.manual_seed(0)
    task = load_task(load_deploy(tmp_path / "deploy.yaml").task, tmp_path)
    model = original_model(task)
    check_data(task, model, Reads(), seed=0)
    # It can learn: a few steps on one batch make its loss smaller.
    ((inputs, target),) = few(task.train_data())
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    losses = []
    model.train()
    for _ in range(20):
        optimizer.zero_grad()
        loss = task.loss(model(*inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        write_start(tmp_path / "new", "../classification")
    known = ", ".join(KINDS)
    assert str(caught.value) == f"--task ../classification is unknown; known: {known}"
    assert not (tmp_path / "new").exists()


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
