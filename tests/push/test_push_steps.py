"""A push to a healthy device, step by step, and the commands around it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pushing import accept, board_on, documents, local, opened, release

from edgecompress.errors import AgentError, ArtifactError, DeviceError, Refused, StorageError
from edgecompress.push import (
    Alive,
    Board,
    PushOptions,
    Watch,
    history,
    make_folders,
    push,
    status,
    switch,
)
from edgecompress.transport import LocalTransport


@pytest.fixture(params=["links", "files"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> LocalTransport:
    transport = local(tmp_path)
    transport.files.symlinks = request.param == "links"
    return transport


def test_the_new_one_is_active_and_the_old_one_previous(
    transport: LocalTransport, tmp_path: Path
) -> None:
    board, root = board_on(transport), Path(transport.root)
    releases = [release(tmp_path, content) for content in (b"first", b"second", b"third")]
    for model, manifest in releases:
        pushed = push(board, model, manifest, accept)
        assert (pushed.outcome, pushed.active, pushed.refused) == ("success", manifest.id, False)
        assert pushed.sent_bytes == manifest.size_bytes
        assert opened(root) == manifest.id
    state = status(board)
    ids = [manifest.id for _, manifest in releases]
    assert (state.current, state.previous) == (ids[2], ids[1])
    assert {found.id: found.whole for found in state.releases} == {ids[1]: True, ids[2]: True}
    assert state.holder is None
    assert [entry.release for entry in history(board).entries] == ids
    assert list((root / "incoming").iterdir()) == []
    assert not [path for path in root.rglob("*") if path.name.startswith(".new-")]
    assert dict(documents(root))


def test_what_is_there_is_not_sent_again(transport: LocalTransport, tmp_path: Path) -> None:
    board = board_on(transport)
    model, manifest = release(tmp_path, b"model" * 1000)
    push(board, model, manifest, accept)
    again = push(board, model, manifest, accept)
    assert (again.outcome, again.sent_bytes) == ("success", 0)
    assert status(board).previous is None


@pytest.mark.parametrize(
    "error",
    [
        Refused("accuracy is 0.71 on 500 samples, 0.89 here"),
        AgentError("the agent died of SIGKILL"),
        ArtifactError("model.onnx: cannot be loaded"),
        DeviceError("gone"),
    ],
)
def test_what_is_not_validated_is_not_activated(
    transport: LocalTransport, tmp_path: Path, error: Exception
) -> None:
    board, root = board_on(transport), Path(transport.root)
    old = release(tmp_path, b"old")
    push(board, *old, accept)
    seen = []

    def validate(path: str, alive: Alive) -> None:
        alive(60.0)
        seen.append(Path(path).read_bytes())
        assert opened(root) == old[1].id
        raise error

    model, manifest = release(tmp_path, b"new")
    pushed = push(board, model, manifest, validate)
    assert seen == [b"new"]
    assert (pushed.outcome, pushed.active) == ("rolled_back", old[1].id)
    assert pushed.reasons == (str(error),)
    # The model's own fault, and not the device's.
    assert pushed.refused == isinstance(error, (Refused, ArtifactError))
    assert opened(root) == old[1].id
    assert history(board).entries[-1].reason == str(error)
    assert status(board).holder is None


def test_rollback_and_back_again(transport: LocalTransport, tmp_path: Path) -> None:
    board, root = Board(transport, device="kitchen-pi"), Path(transport.root)
    (_, first), (_, second) = old, new = release(tmp_path, b"1"), release(tmp_path, b"2")
    push(board, *old, accept)
    with pytest.raises(
        ArtifactError, match=r"no previous release; see: edgecompress status kitchen-pi$"
    ):
        switch(board, None)
    push(board, *new, accept)
    assert switch(board, None).active == first.id == opened(root)
    assert status(board).device == "kitchen-pi"
    assert switch(board, None).active == second.id == opened(root)
    assert [entry.action for entry in history(board).entries] == ["push", "push", *["rollback"] * 2]


def test_validated_first_and_activated_later(transport: LocalTransport, tmp_path: Path) -> None:
    board, root = board_on(transport), Path(transport.root)
    old, new = release(tmp_path, b"1"), release(tmp_path, b"2")
    push(board, *old, accept)
    assert push(board, *new, accept, PushOptions(activates=False)).active == old[1].id
    assert opened(root) == old[1].id
    assert switch(board, new[1].id).active == new[1].id == opened(root)


@pytest.mark.parametrize("wanted", ["0" * 16, "..", "../releases", "", "a b", "-rf", "é\n"])
def test_only_a_release_can_be_activated(
    transport: LocalTransport, tmp_path: Path, wanted: str
) -> None:
    board = board_on(transport)
    old = release(tmp_path, b"1")
    push(board, *old, accept)
    with pytest.raises(ArtifactError, match=r"no (previous )?release"):
        switch(board, wanted)
    assert opened(Path(transport.root)) == old[1].id


def test_a_damaged_release_is_not_activated_but_mended(
    transport: LocalTransport, tmp_path: Path
) -> None:
    board, root = board_on(transport), Path(transport.root)
    old, new = release(tmp_path, b"1" * 100), release(tmp_path, b"2" * 100)
    push(board, *old, accept)
    push(board, *new, accept)
    (root / "releases" / old[1].id / "model.onnx").write_bytes(b"1" * 99 + b"0")
    assert [found.whole for found in status(board).releases if found.id == old[1].id] == [False]
    with pytest.raises(ArtifactError, match="damaged"):
        switch(board, None)
    assert opened(root) == new[1].id
    assert push(board, *old, accept).outcome == "success"
    assert opened(root) == old[1].id


def spoils(*paths: Path) -> Callable[[str, Alive], None]:
    """A validation during which the card loses what lies at these paths and the model itself."""

    def validate(path: str, _: Alive) -> None:
        for each in (Path(path), *paths):
            each.write_bytes(b"lost")

    return validate


def test_what_is_lost_after_its_validation_is_not_left_active(
    transport: LocalTransport, tmp_path: Path
) -> None:
    board, root = board_on(transport), Path(transport.root)
    old, new = release(tmp_path, b"1"), release(tmp_path, b"2")
    pushed = push(board, *old, spoils())
    assert (pushed.outcome, pushed.active) == ("rolled_back", None)
    assert pushed.reasons[0].endswith(f"current points to {old[1].id}, not to {old[1].id}, whole")
    assert opened(root) is None
    assert push(board, *old, accept).outcome == "success"
    pushed = push(board, *new, spoils())
    assert (pushed.outcome, pushed.active) == ("rolled_back", old[1].id)
    assert opened(root) == old[1].id
    assert status(board).previous is None


def test_where_the_old_one_is_lost_too_nothing_is_promised(
    transport: LocalTransport, tmp_path: Path
) -> None:
    board, root = board_on(transport), Path(transport.root)
    old, new = release(tmp_path, b"1"), release(tmp_path, b"2")
    push(board, *old, accept)
    pushed = push(board, *new, spoils(root / "releases" / old[1].id / "model.onnx"))
    assert (pushed.outcome, pushed.active, pushed.refused) == ("inconsistent", None, False)
    assert f"putting {old[1].id} back failed" in pushed.reasons[0]
    assert f"`edgecompress rollback {board.device}` or another push" in pushed.reasons[0]


def test_where_the_old_one_is_lost_too_its_predecessor_is_active(
    transport: LocalTransport, tmp_path: Path
) -> None:
    board, root = board_on(transport), Path(transport.root)
    first, second, third = (release(tmp_path, content) for content in (b"1", b"2", b"3"))
    push(board, *first, accept)
    push(board, *second, accept)
    pushed = push(board, *third, spoils(root / "releases" / second[1].id / "model.onnx"))
    assert (pushed.outcome, pushed.active) == ("rolled_back", first[1].id)
    assert f"{second[1].id} was damaged there" in pushed.reasons[0]
    assert opened(root) == first[1].id


@pytest.mark.parametrize("how", ["refused", "ignored"])
def test_pointers_that_cannot_be_moved_are_what_they_were(
    transport: LocalTransport, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, root = board_on(transport), Path(transport.root)
    first, second, third = (release(tmp_path, content) for content in (b"1", b"2", b"3"))
    push(board, *first, accept)
    push(board, *second, accept)
    rename, moved = transport.files.rename, []

    def once(old: str, new: str) -> None:
        if new.endswith("/current") and not moved:
            moved.append(new)
            if how == "refused":
                raise StorageError("no room for a pointer")
        else:
            rename(old, new)

    monkeypatch.setattr(transport.files, "rename", once)
    pushed = push(board, *third, accept)
    assert (pushed.outcome, pushed.active) == ("rolled_back", second[1].id)
    why = "no room" if how == "refused" else f"points to {second[1].id}, not to {third[1].id}"
    assert why in pushed.reasons[0]
    assert opened(root) == second[1].id
    assert status(board).previous == first[1].id


def test_who_is_overtaken_leaves_it_to_the_other_to_put_back(
    transport: LocalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, root = board_on(transport), Path(transport.root)
    push(board, *release(tmp_path, b"1"), accept)
    rename = transport.files.rename

    def overtaken(old: str, new: str) -> None:
        if new.endswith("/current"):
            (root / "locks" / "999").mkdir()
            raise StorageError("no room for a pointer")
        rename(old, new)

    monkeypatch.setattr(transport.files, "rename", overtaken)
    pushed = push(board, *release(tmp_path, b"2"), accept)
    assert pushed.outcome == "rolled_back"
    assert "took over the lock" in pushed.reasons[0]
    assert pushed.active is None  # It is the other's to say.


def test_a_file_that_changed_here_is_not_sent(transport: LocalTransport, tmp_path: Path) -> None:
    board = board_on(transport)
    model, manifest = release(tmp_path, b"as described")
    model.write_bytes(b"as changed..")
    pushed = push(board, model, manifest, accept)
    assert pushed.outcome == "rolled_back"
    assert "has changed" in pushed.reasons[0]
    assert opened(Path(transport.root)) is None


def test_progress_is_told(transport: LocalTransport, tmp_path: Path) -> None:
    model, manifest = release(tmp_path, bytes(3 << 20))
    sent: list[int] = []
    push(board_on(transport), model, manifest, accept, PushOptions(Watch(sent=sent.append)))
    assert sent[-1] == 3 << 20
    assert sent == sorted(sent)


def test_no_room(
    transport: LocalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = board_on(transport)
    model, manifest = release(tmp_path, bytes(3 << 20))
    monkeypatch.setattr(transport.files, "free_bytes", lambda _: 17 << 20)
    pushed = push(board, model, manifest, accept)
    assert pushed.outcome == "rolled_back"
    assert "17 MiB free" in pushed.reasons[0]
    assert "19 MiB needed" in pushed.reasons[0]
    assert list((Path(transport.root) / "incoming").iterdir()) == []


def test_the_history_never_outgrows_what_is_read_of_it(
    transport: LocalTransport, tmp_path: Path
) -> None:
    board = board_on(transport)
    entry = {
        "at": "2026-01-01T00:00:00+00:00",
        "by": "a@b",
        "action": "push",
        "release": "0" * 16,
        "before": None,
        "outcome": "rolled_back",
        "reason": "\u4e2d" * 500,
    }
    make_folders(board)
    many = {"entries": [{**entry, "at": str(number)} for number in range(38)]}
    Path(board.path("history.json")).write_text(json.dumps(many, ensure_ascii=False))

    tried: list[int] = []

    def refuse(_: str, __: Alive) -> None:
        tried.append(len(tried))
        raise Refused(f"{len(tried)}" + "\u4e2d" * 499)

    for _ in range(4):
        push(board, *release(tmp_path, b"1"), refuse)
    kept = history(board).entries
    assert [entry.release == "0" * 16 for entry in kept[-5:]] == [True, *[False] * 4]
    assert 30 < len(kept) < 42
    assert Path(board.path("history.json")).stat().st_size <= 64 << 10
