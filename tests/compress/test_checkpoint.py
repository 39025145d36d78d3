"""A checkpoint is gone on from only as it was written, and while what it came from is the same."""

import os
import random
from pathlib import Path

import pytest
import torch

from edgecompress.compress.checkpoint import Resuming, load_checkpoint, save_checkpoint
from edgecompress.errors import StorageError
from edgecompress.progress import SilentProgress
from edgecompress.task.hashes import Hashes
from edgecompress.task.used import FilesChanged, Used


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()


def resuming(folder: Path, notes: Notes, used: Used | None = None) -> Resuming:
    best = folder / "train.best.pt"
    return Resuming(folder / "train.pt", lambda state: [best] * state["best"], used, notes)


def save(folder: Path, used: Used | None = None, best: int = 1) -> None:
    weights = {"weights": torch.arange(8.0)}
    save_checkpoint(folder / "train.best.pt", weights)
    save_checkpoint(folder / "train.pt", {**weights, "best": best}, used)


def test_a_whole_one_is_gone_on_from(tmp_path: Path, notes: Notes) -> None:
    assert resuming(tmp_path, notes).state() is None
    save(tmp_path)
    state = resuming(tmp_path, notes).state()
    assert state is not None
    assert torch.equal(state.pop("weights"), torch.arange(8.0))
    assert state == {"best": 1}
    assert notes.lines == []


def test_a_flipped_bit_or_a_cut_begins_anew(tmp_path: Path, notes: Notes) -> None:
    random_ = random.Random(0)
    save(tmp_path)
    whole = {name: (tmp_path / name).read_bytes() for name in ("train.pt", "train.best.pt")}
    for count in range(200):
        name = random_.choice(list(whole))
        data = bytearray(whole[name])
        position = random_.randrange(len(data))
        if count % 4:
            data[position] ^= 1 << random_.randrange(8)
        else:
            del data[position:]
        for each, content in whole.items():
            (tmp_path / each).write_bytes(data if each == name else content)
        with pytest.raises(StorageError, match="is not as it was written; delete it"):
            load_checkpoint(tmp_path / name)
        assert resuming(tmp_path, notes).state() is None
        assert len(notes.lines) == count + 1
        assert notes.lines[-1].startswith(f"{tmp_path / name}: is not as it was written; begun")
        assert resuming(tmp_path, notes).state() is None, "it was moved away"


@pytest.mark.parametrize("lies", ["a folder", "a pipe", "a link to itself"])
def test_what_is_no_file_is_moved_away(tmp_path: Path, notes: Notes, lies: str) -> None:

    path = tmp_path / "train.pt"
    if lies == "a folder":
        path.mkdir()
    elif lies == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    assert resuming(tmp_path, notes).state() is None
    save(tmp_path)
    assert resuming(tmp_path, notes).state() is not None


def test_the_best_weights_are_needed_once_there_are_any(tmp_path: Path, notes: Notes) -> None:
    save(tmp_path, best=0)
    (tmp_path / "train.best.pt").unlink()
    assert resuming(tmp_path, notes).state() is not None
    save(tmp_path)
    (tmp_path / "train.best.pt").unlink()
    assert resuming(tmp_path, notes).state() is None
    assert len(notes.lines) == 1


def test_what_the_task_read_must_be_unchanged(tmp_path: Path, notes: Notes) -> None:
    data, work = tmp_path / "data.txt", tmp_path / "runs" / "work" / "key"
    work.mkdir(parents=True)
    data.write_text("old")
    with Used(tmp_path, [], [tmp_path / "runs"], Hashes()) as used:
        assert data.read_text() == "old"
        save(work, used)
    with Used(tmp_path, [], [tmp_path / "runs"], Hashes()) as used:
        assert resuming(work, notes, used).state() is not None
        assert set(used.taken()) == {"data.txt"}, "what is resumed came from it too"
        os_level_write(data, "new")
        with pytest.raises(FilesChanged, match=r"data.txt: changed while"):
            save(work, used)
    with Used(tmp_path, [], [tmp_path / "runs"], Hashes()) as used:
        assert resuming(work, notes, used).state() is None
    assert notes.lines == [f"{work / 'train.pt'}: begun anew, because {data} has changed"]


def os_level_write(path: Path, text: str) -> None:
    """As another process would, of which no event tells."""
    temp = path.parent.parent / f"{path.name}.other"
    temp.write_text(text)
    temp.replace(path)
