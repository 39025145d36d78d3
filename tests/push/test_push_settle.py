"""How the next command ends what an interrupted push had begun, state by state."""

from pathlib import Path

import pytest
from pushing import accept, board_on, failing, local, opened, release

from edgecompress.push import Board, PushOptions, Watch, history, push, status
from edgecompress.push.documents import Journal
from edgecompress.push.lock import held
from edgecompress.push.pointers import point
from edgecompress.push.session import Session


class Interrupted:
    """A device with three releases; a push of the third died with its journal in some state."""

    def __init__(self, folder: Path) -> None:
        self.board: Board = board_on(local(folder))
        self.root = Path(self.board.path())
        made = [release(folder, content) for content in (b"1", b"2", b"3")]
        self.first, self.second, self.third = (manifest.id for _, manifest in made)
        for model, manifest in made[:2]:
            assert push(self.board, model, manifest, accept).outcome == "success"
        assert push(self.board, *made[2], accept, PushOptions(activates=False)).outcome == "success"
        self.entries = len(history(self.board).entries)

    def died(self, state: str, current: str) -> None:
        content = {"release": self.third, "before": self.second, "previous": self.first}
        journal = Journal.model_validate({**content, "state": state})
        self.board.replace("journal.json", journal.model_dump_json().encode())
        point(self.board, "current", current)
        if current == self.third:
            point(self.board, "previous", self.second)

    def settle(self) -> tuple[str | None, str | None, list[str]]:
        """What is active then, and before; what was noted."""
        notes: list[str] = []
        with held(self.board) as lock:
            Session(self.board, lock, Watch(note=notes.append)).settle()
        state = status(self.board)
        assert opened(self.root) == state.current
        return state.current, state.previous, notes

    def told(self, outcome: str) -> list[str]:
        entry, name = history(self.board).entries[-1], self.board.name
        assert len(history(self.board).entries) == self.entries + 1
        assert (entry.release, entry.outcome) == (self.third, outcome)
        journal = status(self.board).journal
        assert journal is not None
        assert journal.state == outcome
        return [f"{name}: a push of {self.third} was interrupted: {outcome}"]


@pytest.fixture
def there(tmp_path: Path) -> Interrupted:
    return Interrupted(tmp_path)


@pytest.mark.parametrize("state", ["activating", "inconsistent"])
def test_what_was_activated_and_is_whole_stays(there: Interrupted, state: str) -> None:
    there.died(state, there.third)
    assert there.settle() == (there.third, there.second, there.told("success"))
    # Nothing is settled twice.
    assert there.settle() == (there.third, there.second, [])
    assert len(history(there.board).entries) == there.entries + 1


@pytest.mark.parametrize("state", ["activating", "inconsistent"])
def test_what_is_damaged_is_taken_back(there: Interrupted, state: str) -> None:
    there.died(state, there.third)
    (there.root / "releases" / there.third / "model.onnx").write_bytes(b"4")
    current, previous, notes = there.settle()
    assert (current, previous, notes[1:]) == (there.second, there.first, there.told("rolled_back"))
    damaged = f"{there.third} is damaged there; {there.second} is active again"
    assert notes[:1] == [f"{there.board.name}: {damaged}"]


@pytest.mark.parametrize("state", ["activating", "inconsistent"])
def test_what_was_not_activated_yet_is_not(there: Interrupted, state: str) -> None:
    there.died(state, there.second)
    point(there.board, "previous", there.second)
    assert there.settle() == (there.second, there.first, there.told("rolled_back"))


def test_a_push_that_had_not_come_to_it_changes_no_pointer(there: Interrupted) -> None:
    there.died("pushing", there.first)
    point(there.board, "previous", None)
    assert there.settle() == (there.first, None, there.told("rolled_back"))


@pytest.mark.parametrize("state", ["success", "rolled_back"])
def test_what_had_ended_is_left_alone(there: Interrupted, state: str) -> None:
    there.died(state, there.first)
    assert there.settle()[0::2] == (there.first, [])
    assert len(history(there.board).entries) == there.entries


@pytest.mark.parametrize("state", ["activating", "inconsistent"])
def test_where_nothing_is_whole_the_next_push_brings_what_is(
    there: Interrupted, tmp_path: Path, state: str
) -> None:
    there.died(state, there.third)
    for path in (there.root / "releases").glob("*/model.onnx"):
        path.write_bytes(b"4")
    notes: list[str] = []
    fresh = release(tmp_path, b"5")
    pushed = push(there.board, *fresh, accept, PushOptions(Watch(note=notes.append)))
    assert (pushed.outcome, pushed.active) == ("success", fresh[1].id)
    assert opened(there.root) == fresh[1].id
    assert notes == [
        f"{there.board.name}: a push of {there.third} was interrupted: {there.third} is damaged,"
        " and there is no other"
    ]


def test_where_the_old_one_is_damaged_its_predecessor_is_taken(there: Interrupted) -> None:
    there.died("activating", there.third)
    for name in (there.second, there.third):
        (there.root / "releases" / name / "model.onnx").write_bytes(b"4")
    assert there.settle()[:2] == (there.first, there.second)


@pytest.mark.parametrize("validated", [True, False])
def test_the_new_one_is_taken_where_all_before_are_damaged_if_it_was_validated(
    there: Interrupted, validated: bool
) -> None:
    there.died("activating", there.second)
    for name in (there.first, there.second):
        (there.root / "releases" / name / "model.onnx").write_bytes(b"4")
    if not validated:
        (there.root / "releases" / there.third / "validation.json").unlink()
    with held(there.board) as lock:
        Session(there.board, lock, Watch()).settle()
    state = status(there.board)
    assert state.current == (there.third if validated else there.second)
    assert state.journal is not None
    assert state.journal.state == ("success" if validated else "activating")


def test_what_a_killed_push_left_in_a_release_is_removed(there: Interrupted) -> None:
    there.died("pushing", there.second)
    release = there.root / "releases" / there.second
    left, mine = release / f".new-{'0' * 16}", release / "mine.txt"
    for path in (left, mine):
        path.write_bytes(b"1")
    there.settle()
    assert not left.exists()
    assert mine.exists()


@pytest.mark.parametrize("before", ["0" * 16, None])
def test_what_is_whole_and_active_is_never_taken_away(
    there: Interrupted, before: str | None
) -> None:
    """Not even by a journal of a device's that names what is not there."""
    there.died("activating", there.second)
    journal = Journal(release=there.third, before=before, previous=before, state="activating")
    there.board.replace("journal.json", journal.model_dump_json().encode())
    assert there.settle()[0] == there.second


def test_what_cannot_be_begun_has_changed_nothing(
    there: Interrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(there.board, "make_folder", monkeypatch)
    pushed = push(there.board, *release(tmp_path, b"5"), accept)
    assert (pushed.outcome, pushed.active) == ("rolled_back", None)
    assert pushed.reasons == ("the way to it broke",)
