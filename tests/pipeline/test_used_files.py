"""What a task read, whenever and however, is part of what a stage came from."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgecompress.pipeline.stages import Output, Stages
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import TaskRef
from edgecompress.store import Store
from edgecompress.task.hashes import Hashes
from edgecompress.task.load import folders_of, load_task
from edgecompress.task.used import FilesChanged, Used

TASK = """\
import importlib, json, runpy, sqlite3, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from edgecompress import ClassificationTask

HERE = Path(__file__).parent


class Rows(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.full((3,), scale()), 0


class Mine(ClassificationTask):
    classes = 2

    def model(self):
        return nn.Linear(3, 2)

    def example_inputs(self):
        return (torch.zeros(1, 3),)

    def train_data(self):
        return DataLoader(Rows(), num_workers=WORKERS)

    def eval_data(self):
        return [(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))]


def scale():
"""

OLD, NEW = "def scale(): return 1.0\n", "def scale(): return 2.0\n"


@dataclass(frozen=True)
class Form:
    """A way to come by a number only when a sample is asked for, and the file that it is in."""

    body: str
    file: str
    old: str | None = OLD
    """None: the file is not there at first."""
    new: str = NEW
    workers: int = 0
    task: str = "task.py"


FORMS = {
    "import in a function": Form("import helpers; return helpers.scale()", "helpers.py"),
    "importlib": Form("return importlib.import_module('help' 'ers').scale()", "helpers.py"),
    "a package": Form("from lib.deep import scale; return scale.scale()", "lib/deep/scale.py"),
    "run_path": Form("return runpy.run_path(str(HERE / 'other.py'))['scale']()", "other.py"),
    "exec": Form("exec(open('other.txt').read(), globals()); return scale()", "other.txt"),
    "a worker": Form("import helpers; return helpers.scale()", "helpers.py", workers=1),
    "data in a worker": Form("return float(open('x').read())", "x", "1.0", "2.0", 1),
    "json": Form("return json.loads((HERE / 'x.json').read_text())", "x.json", "1.0", "2.0"),
    "a folder of its own": Form(
        "import helpers; return helpers.scale()", "a/helpers.py", task="a/task.py"
    ),
    "another folder": Form(
        "sys.path.insert(0, str(HERE.parent / 'common')); import helpers; return helpers.scale()",
        "../common/helpers.py",
    ),
    "a thread": Form(
        "return ThreadPoolExecutor(1).submit(lambda: float(open('x').read())).result()",
        "x",
        "1.0",
        "2.0",
    ),
    "what is not there": Form(
        "try: return float(open('x').read())\n    except OSError: return 1.0", "x", None, "2.0"
    ),
    "a listing": Form("return float(len(list(HERE.glob('data/*'))))", "data/b", None, ""),
    "numpy": Form("return float(np.loadtxt(HERE / 'x'))", "x", "1.0", "2.0"),
}


@dataclass
class Project:
    folder: Path
    ref: TaskRef

    def deploy(self, work: Callable[[float], None] = lambda _: None) -> tuple[float, bool, bool]:
        """What the training data is, and whether it, and what follows from it, was in the store."""
        store = Store(self.folder / "runs", self.notes.append)
        more = folders_of(self.ref, self.folder)
        with Used(self.folder, more, [store.root], Hashes(store.hashes() or b"{}")) as used:
            task = load_task(self.ref, self.folder)
            run = store.start_run("synthetic", "0" * 64)
            stages = Stages(store, run, SilentProgress(), 0, used=used)

            def train(_: Path) -> Output:
                (number, *_), *_ = (batch[0][0].tolist() for batch in task.train_data())
                work(number)
                return Output({"number": number})

            record = stages.run("train", {}, train)
            stages.run("export", {"parent": record.key}, lambda _: Output({}))
            stages.check_files()
            store.keep_hashes(used.hashes.dump())
            store.end_run(run)
        trained, exported = (stage.cached for stage in stages.done)
        return float(str(record.result["number"])), trained, exported

    def __post_init__(self) -> None:
        self.notes: list[str] = []

    def write(self, name: str, text: str) -> None:
        """Like an editor that keeps what `stat` says, as far as it can."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        times = (path.stat().st_atime_ns, path.stat().st_mtime_ns) if path.exists() else None
        path.write_text(text)
        if times is not None:
            os.utime(path, ns=times)


@pytest.fixture
def make_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Form], Project]]:
    def make(form: Form) -> Project:
        project = Project(tmp_path / "project", TaskRef(path=f"{form.task}:Mine"))
        body = f"    {form.body}\n".replace("WORKERS", str(form.workers))
        project.write(form.task, TASK.replace("WORKERS", str(form.workers)) + body)
        (project.folder / "data").mkdir()
        (project.folder / "data" / "a").touch()
        if form.old is not None:
            project.write(form.file, form.old)
        monkeypatch.chdir(project.folder)
        return project

    path = list(sys.path)
    yield make
    sys.path[:] = path


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_is_read_late_redoes_what_came_from_it(
    make_project: Callable[[Form], Project], form: Form
) -> None:
    project = make_project(form)
    assert project.deploy() == (1.0, False, False)
    assert project.deploy() == (1.0, True, True)
    project.write(form.file, form.new)
    assert project.deploy() == (2.0, False, False)
    assert len(project.notes) == 1
    assert project.notes[0].startswith("train: done again, because /")
    assert project.deploy() == (2.0, True, True)
    if form.old is not None:
        # What was done with the old content is still in the store.
        project.write(form.file, form.old)
        assert project.deploy() == (1.0, True, True)


def test_what_changes_nothing_ends_where_that_is_known(
    make_project: Callable[[Form], Project],
) -> None:
    form = FORMS["json"]
    project = make_project(form)
    project.deploy()
    project.write(form.file, " 1.0")
    number, trained, exported = project.deploy()
    assert (number, trained) == (1.0, False)
    # In this process the file was read, so that what follows has read it too.
    assert not exported
    project.write("unread.py", OLD)
    assert project.deploy() == (1.0, True, True)


def test_a_file_that_changes_meanwhile_is_no_part_of_a_result(
    make_project: Callable[[Form], Project],
) -> None:
    form = FORMS["import in a function"]
    project = make_project(form)
    with pytest.raises(FilesChanged, match=r"helpers.py: changed while the deploy was at work"):
        project.deploy(lambda _: project.write(form.file, form.new))
    assert project.deploy() == (2.0, False, False)


def test_what_a_task_writes_for_itself_may_change(
    make_project: Callable[[Form], Project],
) -> None:
    made = """\
open('log', 'a').write('asked ')
    if not Path('made.json').exists(): Path('made.json').write_text('1.0')
    Path('passing').write_text('x'); Path('passing').read_text(); Path('passing').unlink()
    return json.loads(Path('made.json').read_text())"""
    project = make_project(Form(made, "made.json", None, "2.0"))
    assert project.deploy() == (1.0, False, False)
    assert project.deploy() == (1.0, True, True)
    # It is data like any other once somebody else changes it.
    project.write("made.json", "2.0")
    assert project.deploy() == (2.0, False, False)


def test_hashes_are_kept_for_files_that_are_old_enough(tmp_path: Path) -> None:
    old, young = tmp_path / "old", tmp_path / "young"
    old.write_bytes(b"old")
    hashes = Hashes()
    first = hashes.of(str(old))
    assert json.loads(hashes.dump()) == {}, "it may change within this tick"
    known = Hashes(json.dumps({str(old): [_stat(old), "kept"]}).encode())
    assert known.of(str(old)) == "kept"
    old.write_bytes(b"new")
    assert known.of(str(old)) not in (first, "kept")
    assert known.of(str(young)) == known.of(str(tmp_path)) == "absent"


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def test_arrays_mapped_into_memory_are_seen(make_project: Callable[[Form], Project]) -> None:
    form = Form("return float(np.load(HERE / 'x.npy', mmap_mode='r'))", "x.npy", None)
    project = make_project(form)
    np.save(project.folder / "x.npy", np.float32(1.0))
    assert project.deploy() == (1.0, False, False)
    np.save(project.folder / "x.npy", np.float32(2.0))
    assert project.deploy() == (2.0, False, False)
