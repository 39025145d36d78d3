"""The log of writes that benchmarks/power_cut.py reads, and what it asks of a device's folder."""

import random
import sys
from pathlib import Path

import pytest
from pushing import accept, board_on, release

from edgecompress.push import push
from edgecompress.transport import LocalTransport

ROOT = Path(__file__).parents[2]
PATH = list(sys.path)
sys.path.append(str(ROOT / "benchmarks"))
try:
    from power_cut_checks import Entry, Expected, Tree, after_cut, after_push
    from power_cut_states import ENTRY, FLUSH, MAGIC, SECTOR, SUPER, Disk, read_log, states
finally:
    sys.path[:] = PATH

A, B, C, D = (bytes([letter]) * SECTOR for letter in b"ABCD")


def written(log: Path, *entries: tuple[int, bytes, int]) -> int:
    """A log of (first sector, data, flags), as qemu's blklogwrites makes it; its length."""
    content = SUPER.pack(MAGIC, 1, len(entries), SECTOR).ljust(SECTOR, b"\0")
    for first, data, flags in entries:
        content += ENTRY.pack(first, len(data) // SECTOR, flags, 0).ljust(SECTOR, b"\0") + data
    log.write_bytes(content)
    return len(content)


def test_a_disk_keeps_what_was_flushed_and_any_of_the_rest(tmp_path: Path) -> None:
    log, base, image = (tmp_path / name for name in ("log", "base", "image"))
    base.write_bytes(bytes(4 * SECTOR))
    image.write_bytes(bytes(4 * SECTOR))
    promise = written(log, (0, A, 0), (0, b"", FLUSH))
    length = written(log, (0, A, 0), (0, b"", FLUSH), (1, B, 0), (2, C + D, 0), (0, b"", FLUSH))
    epochs = read_log(log)
    assert [len(epoch.writes) for epoch in epochs] == [1, 2, 0]
    assert epochs[1].end == length

    disk, seen = Disk(base, log, epochs, image), {}
    for state in states(epochs, promise, random.Random(0), each=64):
        disk.become(state)
        seen[image.read_bytes()] = state.promised
    empty = bytes(SECTOR)
    # From the moment on at which the first flush was done, A is there; C without D is a torn write.
    assert seen == {
        4 * empty: False,
        A + 3 * empty: True,
        A + B + 2 * empty: True,
        A + empty + C + D: True,
        A + empty + C + empty: True,
        A + B + C + empty: True,
        A + B + C + D: True,
    }


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(2 * SECTOR))
    with pytest.raises(ValueError, match="no log of writes"):
        read_log(tmp_path / "log")


def test_a_finished_push_has_no_violation_and_each_damage_is_one(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path / "root" / "work", tmp_path / "root")
    ids = []
    for content in (b"old", b"new"):
        model, manifest = release(tmp_path / "models", content)
        assert push(board_on(transport), model, manifest, accept).outcome == "success"
        ids.append(manifest.id)
    old, new = ids

    def tree(**changed: Entry | None) -> Tree:
        entries = Tree.read(transport.files, transport.root).entries | changed
        return Tree({path: entry for path, entry in entries.items() if entry is not None})

    file = Entry(link=None, sha256="0" * 64, text="")
    model = f"releases/{new}/model.onnx"
    promised = Expected(old, new, promised=True)
    assert after_cut(tree(), promised) == after_push(tree(), new) == []

    to_old = tree(current=Entry(link=f"releases/{old}", sha256=None, text=None))
    assert after_cut(to_old, Expected(old, new)) == []
    assert "said success" in after_cut(to_old, promised)[0]
    assert "neither" in after_cut(tree(current=None), Expected(old, new))[0]
    assert after_cut(tree(current=None), Expected(None, new)) == []
    assert "damaged" in after_cut(tree(**{model: file}), promised)[0]
    assert "no model" in after_cut(tree(**{model: None}), promised)[0]
    for left in ("incoming/x.part", "work/x", ".new-1", "releases/.new-1/model.onnx", "locks/9"):
        assert after_push(tree(**{left: file}), new), left
