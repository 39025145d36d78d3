"""How much a push keeps, how long it takes, and how often it tries: each bound by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pushing import Ticking, accept, board_on, failing, release

from edgecompress.errors import DeviceError, StorageError, TransientError
from edgecompress.push import Board, Watch, history, push
from edgecompress.push.layout import clean_up
from edgecompress.push.lock import Lock, held
from edgecompress.push.session import Ended, Session
from edgecompress.push.upload import Upload

# As docs/devices.md says them.
ATTEMPTS, ATTEMPTS_S = 5, 120.0
QUIET_S = 120.0
DOCUMENT_BYTES = 64 << 10
RESERVE_BYTES = 16 << 20
HASH_S, STALL_S = 600.0, 120.0


def test_a_step_is_tried_again_while_it_loses_its_connection(board: Ticking) -> None:
    tries: list[float] = []

    def step() -> str:
        tries.append(board.ticks.now)
        if len(tries) < ATTEMPTS:
            raise TransientError("again")
        return "done"

    assert board.retried(step) == "done"
    assert len(tries) == ATTEMPTS
    assert tries == sorted(tries)
    tries.clear()
    with pytest.raises(TransientError):
        board.retried(step, ATTEMPTS - 1)

    tries.clear()

    def refuse() -> None:
        tries.append(board.ticks.now)
        raise StorageError("no room")

    with pytest.raises(StorageError):
        board.retried(refuse)
    assert len(tries) == 1


@pytest.mark.parametrize(("lasts_s", "times"), [(ATTEMPTS_S / 2 - 0.25, 3), (ATTEMPTS_S / 2, 2)])
def test_no_step_is_tried_again_after_two_minutes(
    lasts_s: float, times: int, board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def step() -> None:
        tries.append(board.ticks.now)
        board.ticks.now += lasts_s
        raise TransientError("again")

    board.sleep = lambda _: None
    with monkeypatch.context() as patch:
        patch.setattr("tenacity.time.monotonic", board.ticks)
        with pytest.raises(TransientError):
            board.retried(step)
    assert len(tries) == times


def test_the_history_keeps_the_last_hundred_and_reasons_are_cut(
    board: Ticking, tmp_path: Path
) -> None:
    model, manifest = release(tmp_path, b"1")
    assert push(board, model, manifest, accept).outcome == "success"
    (entry,) = history(board).entries
    many = [entry.model_copy(update={"at": str(number)}).model_dump() for number in range(100)]
    text = json.dumps({"entries": many})
    assert len(text) < DOCUMENT_BYTES
    Path(board.path("history.json")).write_text(text)

    def refuse(_: str, __: object) -> None:
        raise DeviceError("x" * 1000)

    pushed = push(board, model, manifest, refuse)
    assert pushed.reasons == ("x" * 500,)
    entries = history(board).entries
    assert [found.at for found in entries[:-1]] == [str(number) for number in range(1, 100)]
    assert entries[-1].reason == "x" * 500


def test_what_fails_after_the_end_undoes_nothing(
    board: Ticking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    with held(board) as lock:
        session = Session(board, lock, Watch(note=notes.append))
        journal = session.begin("0" * 16)
        failing(board, "write", monkeypatch)
        assert session.end(journal, "push", Ended("success", None)).outcome == "success"
        monkeypatch.undo()
    assert notes == [f"{board.name}: its journal is not up to date: the way to it broke"]


@pytest.fixture
def lock(board: Ticking) -> Iterator[Lock]:
    with held(board) as lock:
        yield lock


def upload_of(board: Board, lock: Lock, folder: Path, size: int) -> Upload:
    return Upload(board, lock, *release(folder, bytes(size)), lambda _: None)


@pytest.mark.parametrize("size", [0, 6_000_100, 10**9 + 7])
def test_an_upload_has_its_time_as_long_as_it_moves(
    size: int, board: Ticking, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(board, lock, tmp_path, 10)
    upload.manifest = upload.manifest.model_copy(update={"size_bytes": size})
    given: dict[str, Any] = {}
    monkeypatch.setattr(board.files, "append", lambda *_, **more: given.update(more))
    upload._send()
    assert given["timeout_s"] == STALL_S
    assert upload.sent_bytes == size
    renewed: list[float] = []
    monkeypatch.setattr(lock, "renew", lambda quiet_s=QUIET_S: renewed.append(quiet_s))
    for name in ("_arrived", "_install", "_check_space"):
        monkeypatch.setattr(upload, name, lambda: True)
    upload.run()
    assert renewed == [HASH_S, QUIET_S]


@pytest.mark.parametrize(
    ("there", "needed"),
    # One that is larger than what is sent is no credit.
    [(1 << 20, RESERVE_BYTES + (16 << 20)), (20 << 20, RESERVE_BYTES)],
)
def test_room_is_asked_for_what_is_still_to_come_and_a_reserve(
    there: int, needed: int, board: Ticking, lock: Lock, tmp_path: Path
) -> None:
    upload = upload_of(board, lock, tmp_path, 17 << 20)
    Path(upload._path()).write_bytes(bytes(there))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board.files, "free_bytes", lambda _: needed)
        upload._check_space()
        patch.setattr(board.files, "free_bytes", lambda _: needed - 1)
        words = rf"{(needed >> 20) - 1} MiB free below .* and {needed >> 20} MiB needed"
        with pytest.raises(StorageError, match=words):
            upload._check_space()


def test_a_file_that_is_not_what_was_written_is_not_put_in_place(
    board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.replace("journal.json", b"{}")
    write = board.files.write
    for wrong in (b"", b"{} ", b"[]"):
        monkeypatch.setattr(board.files, "write", lambda path, _, wrong=wrong: write(path, wrong))
        with pytest.raises(TransientError, match="was not written as it was sent"):
            board.replace("journal.json", b"{}")
    root = Path(board.path())
    assert (root / "journal.json").read_bytes() == b"{}"
    assert not [path for path in root.iterdir() if path.name.startswith(".new-")]


def test_what_a_kill_left_is_removed_and_nothing_else(board: Ticking) -> None:
    root = Path(board.path())
    ours, another, one = (f"{digit * 64}.part" for digit in "abc")
    new = f".new-{'0' * 16}"
    left = [new, f"releases/{new}/model.onnx", f"incoming/{another}"]
    kept = [
        "journal.json", "releases/new-3", f"incoming/{ours}", f"locks/{new}", ".new-1",
        f"releases/{new}", "incoming/notes.part", f"incoming/{one}/deep",
        f"releases/.new-{'1' * 16}/mine",
    ]  # fmt: skip
    for name in (*left, *kept):
        (root / name).parent.mkdir(exist_ok=True)
        if not (root / name).is_dir():
            (root / name).write_bytes(b"1")
    clean_up(board, ours)
    there = [name for name in (*left, *kept) if (root / name).exists()]
    assert there == [name for name in kept if name != f"releases/{new}"]


def test_an_empty_model_is_a_release_too(board: Ticking, tmp_path: Path) -> None:
    pushed = push(board_on(board.transport), *release(tmp_path, b""), accept)
    assert (pushed.outcome, pushed.sent_bytes) == ("success", 0)
    assert len(pushed.release) == 16
