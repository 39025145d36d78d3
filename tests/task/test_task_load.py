"""From deploy.yaml to a task: what its fingerprint follows, and what is refused."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edgecompress.errors import SpecError, TaskError
from edgecompress.spec.deploy import TaskRef
from edgecompress.task import ClassificationTask
from edgecompress.task.load import fingerprint, load_task, original_model, state_digest

TASK = """\
import torch
from helper import CHANNELS
from edgecompress import ClassificationTask


class Mine(ClassificationTask):
    classes = 2

    def __init__(self, bias: float = 0.0) -> None:
        self.bias = bias

    def model(self):
        model = torch.nn.Linear(CHANNELS, 2)
        with torch.no_grad():
            model.weight.fill_(1.0)
            model.bias.fill_(self.bias)
        return model

    def example_inputs(self):
        return (torch.zeros(1, CHANNELS),)

    def train_data(self):
        return []

    eval_data = train_data
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mine.py").write_text(TASK)
    (folder / "helper.py").write_text("CHANNELS = 3\n")
    (folder / "classes.txt").write_text("cat\ndog\n")
    return folder


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Each load as in a process of its own."""

    def forget() -> None:
        for name in ("mine", "helper"):
            sys.modules.pop(name, None)

    monkeypatch.setattr(sys, "path", [*sys.path])
    forget()
    return forget


def ref(path: str = "mine.py:Mine", **values: object) -> TaskRef:
    return TaskRef(path=path, **values)


def print_of(folder: Path, reference: TaskRef) -> str:
    task = load_task(reference, folder)
    return fingerprint(task, reference, folder, original_model(task))


def test_the_fingerprint_does_not_depend_on_the_place(project, tmp_path, forget) -> None:
    files = ref(files=("classes.txt",))
    first = print_of(project, files)
    forget()
    moved = Path(shutil.copytree(project, tmp_path / "moved"))
    sys.path.remove(str(project))
    assert print_of(moved, files) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "mine.py").write_text(f"{TASK}\n# changed\n"),
        lambda folder: (folder / "helper.py").write_text("CHANNELS = 3  # changed\n"),
        lambda folder: (folder / "classes.txt").write_text("dog\ncat\n"),
        lambda folder: (folder / "helper.py").write_text("CHANNELS = 4\n"),
    ],
    ids=["source", "module beside it", "declared file", "weights"],
)
def test_the_fingerprint_follows_content(project: Path, forget, change) -> None:
    files = ref(files=("classes.txt",))
    first = print_of(project, files)
    forget()
    assert print_of(project, files) == first
    forget()
    change(project)
    assert print_of(project, files) != first


def test_the_fingerprint_follows_options(project: Path) -> None:
    prints = {print_of(project, ref(options={"bias": bias})) for bias in (0.0, 1.0)}
    assert len(prints) == 2


def test_a_state_digest_sees_one_bit_and_the_kind_of_a_layer() -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))

    first = state_digest(model())
    assert state_digest(model()) == first
    changed = model()
    with torch.no_grad():
        changed[0].weight[0, 0] = torch.nextafter(changed[0].weight[0, 0], torch.tensor(9.0))
    assert state_digest(changed) != first
    counted = model()
    counted[2].num_batches_tracked += 1
    assert state_digest(counted) != first
    other = model()
    other[1] = nn.ReLU6()
    assert state_digest(other) != first


def test_an_importable_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lib" / "nets_of_mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("CHANNELS = 3\n")
    (package / "task.py").write_text(TASK.replace("from helper", "from nets_of_mine.helper"))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    reference = ref("nets_of_mine.task:Mine")
    first = print_of(tmp_path, reference)
    # Its other modules count, though they do not lie beside deploy.yaml.
    (package / "helper.py").write_text("CHANNELS = 3  # changed\n")
    assert print_of(tmp_path, reference) != first


def test_two_projects_may_have_tasks_of_the_same_name(tmp_path: Path, project: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.py").write_text(TASK.replace("classes = 2", "classes = 5"))
    tasks = [load_task(ref(), folder) for folder in (project, other)]
    assert [task.classes for task in tasks if isinstance(task, ClassificationTask)] == [2, 5]


def test_a_name_that_would_hide_a_module_is_refused(project: Path) -> None:
    (project / "random.py").write_text(TASK)
    with pytest.raises(TaskError, match=r"random\.py: is named like the module 'random'.*rename"):
        load_task(ref("random.py:Mine"), project)


def test_a_declared_file_must_be_there(project: Path) -> None:
    with pytest.raises(SpecError, match=r"task\.files: .*weights\.pt: no such file"):
        load_task(ref(files=("weights.pt",)), project)
