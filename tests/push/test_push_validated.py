"""Only what this device validated is activated, and what it validated is not validated again."""

import json
import shutil
from pathlib import Path

import pytest
from pushing import accept, board_on, local, opened, release
from synthetic import pushed as synthetic_push

from edgecompress.errors import ArtifactError, Refused
from edgecompress.push import Alive, Origin, PushOptions, history, push, status, switch
from edgecompress.push.layout import make_folders
from edgecompress.spec.pushed import Validation

FIGURES = synthetic_push().validation
assert FIGURES is not None
ASKED = Origin(run="20261129-053000-abcd", asked="f" * 64, reuses=True)


class Counting:
    """A validation that passes, and counts how often it was asked for."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: str, __: Alive) -> Validation:
        self.count += 1
        return FIGURES


def planted(root: Path, folder: Path) -> str:
    """A release that nobody validated: 27 bytes of text, and a manifest that fits."""
    model, manifest = release(folder, b"27 bytes that are no model.")
    there = root / "releases" / manifest.id
    there.mkdir()
    shutil.copy(model, there / "model.onnx")
    (there / "manifest.json").write_bytes(manifest.stored()[0])
    return manifest.id


def test_a_release_is_written_down_as_validated_with_its_figures(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    _, manifest = made = release(tmp_path, b"1")
    assert push(board, *made, Counting(), PushOptions(origin=ASKED)).outcome == "success"
    (found,) = status(board).releases
    record = found.validated
    assert record is not None
    assert (record.release, record.sha256) == (manifest.id, manifest.sha256)
    assert (record.run, record.validation) == (ASKED.run, FIGURES)
    assert "@" in record.by
    assert record.signature is None
    (entry,) = history(board).entries
    assert (entry.run, entry.metric, entry.value) == (ASKED.run, FIGURES.metric, FIGURES.value)


@pytest.mark.parametrize("given", [True, False], ids=["activate", "rollback"])
def test_what_was_planted_is_activated_only_where_the_user_says_so(
    given: bool, tmp_path: Path
) -> None:
    board = board_on(local(tmp_path))
    root = Path(board.path())
    old = release(tmp_path, b"1")
    push(board, *old, accept)
    wanted = planted(root, tmp_path)
    if not given:
        (root / "previous").symlink_to(f"releases/{wanted}")
    asked = wanted if given else None
    with pytest.raises(ArtifactError, match=r"no record that it was validated .*--unvalidated"):
        switch(board, asked)
    assert opened(root) == old[1].id
    switched = switch(board, asked, unvalidated=True)
    assert (switched.outcome, opened(root)) == ("success", wanted)
    entry = history(board).entries[-1]
    assert (entry.override, entry.release) == (True, wanted)
    assert entry.reason == "without a record of its validation, as asked"
    # What has a record needs no override, and none is written down.
    switch(board, None, unvalidated=True)
    assert history(board).entries[-1].override is False


def test_a_record_of_another_device_or_another_file_counts_for_nothing(tmp_path: Path) -> None:
    here, there = (board_on(local(tmp_path / name)) for name in ("here", "there"))
    model, manifest = made = release(tmp_path, b"1")
    push(here, *made, accept)
    push(there, *release(tmp_path, b"2"), accept)
    copied = Path(there.path("releases", manifest.id))
    shutil.copytree(here.path("releases", manifest.id), copied)
    with pytest.raises(ArtifactError, match="no record"):
        switch(there, manifest.id)
    # With the other device's identity it would count, but not for other bytes.
    shutil.copy(here.path("device.json"), there.path("device.json"))
    record = json.loads((copied / "validation.json").read_text())
    (copied / "validation.json").write_text(json.dumps({**record, "sha256": "0" * 64}))
    with pytest.raises(ArtifactError, match="no record"):
        switch(there, manifest.id)
    (copied / "validation.json").write_text(json.dumps(record))
    assert switch(there, manifest.id).outcome == "success"
    assert model.exists()


def test_what_was_validated_and_is_whole_is_activated_at_once(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    old, new = release(tmp_path, b"1"), release(tmp_path, b"2")
    validate = Counting()
    push(board, *old, validate, PushOptions(origin=ASKED))
    push(board, *new, validate, PushOptions(origin=ASKED))
    again = push(board, *old, validate, PushOptions(origin=ASKED))
    assert validate.count == 2
    assert (again.outcome, again.active, again.validation) == ("success", old[1].id, FIGURES)
    assert again.notes[0].startswith("validated there on ")
    assert again.sent_bytes == 0
    # Damaged, it is sent again; its bytes are then those that were validated.
    Path(board.path("releases", new[1].id, "model.onnx")).write_bytes(b"3")
    assert push(board, *new, validate, PushOptions(origin=ASKED)).sent_bytes == 1
    assert (validate.count, opened(Path(board.path()))) == (2, new[1].id)


@pytest.mark.parametrize(
    "origin",
    [
        Origin(ASKED.run, ASKED.asked, reuses=False),
        Origin(ASKED.run, "0" * 64, reuses=True),
        Origin(ASKED.run, "", reuses=True),
    ],
    ids=["told to", "asked more", "not known"],
)
def test_what_is_asked_anew_is_validated_anew(origin: Origin, tmp_path: Path) -> None:
    board, validate = board_on(local(tmp_path)), Counting()
    made = release(tmp_path, b"1")
    push(board, *made, validate, PushOptions(origin=ASKED if origin.asked else Origin()))
    assert push(board, *made, validate, PushOptions(origin=origin)).notes == ()
    assert validate.count == 2


def test_what_fails_a_later_validation_has_no_record_any_more(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    old, new = release(tmp_path, b"1"), release(tmp_path, b"2")
    push(board, *old, accept)
    push(board, *new, accept)

    def refuse(_: str, __: Alive) -> None:
        raise Refused("the runtime there is another one now")

    assert push(board, *old, refuse, PushOptions(activates=False)).outcome == "rolled_back"
    with pytest.raises(ArtifactError, match="no record"):
        switch(board, None)


def test_many_labels_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    model, manifest = release(tmp_path, b"1")
    labels = tuple(f"a species of beetle, number {number}" for number in range(5000))
    many = manifest.model_copy(update={"labels": labels})
    assert push(board, model, many, accept).release == many.id
    there = Path(board.path("releases", many.id))
    stored = json.loads((there / "manifest.json").read_text())
    assert (stored["labels"], stored["labels_file"]["file"]) == ([], "labels.json")
    assert tuple(json.loads((there / "labels.json").read_text())) == labels
    assert (there / "manifest.json").stat().st_size < 2000
    (there / "labels.json").write_text("[]")
    assert [found.whole for found in status(board).releases] == [False]
    assert push(board, model, many, accept).sent_bytes == 1
    assert status(board).releases[0].whole


def test_a_manifest_without_room_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    model, manifest = release(tmp_path, b"1" * 1000)
    make_folders(board)
    inputs = tuple(
        manifest.inputs[0].model_copy(update={"name": f"input {number}"}) for number in range(1000)
    )
    long = manifest.model_copy(update={"inputs": inputs})
    pushed = push(board, model, long, accept)
    assert (pushed.outcome, pushed.sent_bytes, pushed.refused) == ("rolled_back", 0, True)
    assert "a manifest has 65536; give the model fewer or shorter names" in pushed.reasons[0]
    assert list(Path(board.path("incoming")).iterdir()) == []


def test_ids_of_releases_made_before_there_was_a_file_of_labels(tmp_path: Path) -> None:
    _, manifest = release(tmp_path, b"1")
    assert manifest.id == "0361d17474614b86"
    assert b"labels_file" not in manifest.stored()[0]
