"""A push to an Android device, which has no symbolic links and no resumed uploads."""

from pathlib import Path

from android_phone.phone import adb, adb_server, make_phone, phone
from pushing import Clock, accept, board_on, opened, release

from edgecompress.errors import Refused
from edgecompress.push import Board, push, status, switch

__all__ = ["adb", "adb_server", "make_phone", "phone"]

PORTIONS = (60_000, 330_000)
"""Bytes that still come through: not all of the model; all, and then some."""


def test_pointer_files_say_which_release_is_active(adb, phone, tmp_path):
    board, root = board_on(adb), Path(phone.here(adb.root))
    first, second = (release(tmp_path, content * 100_000) for content in (b"1", b"2"))
    assert push(board, *first, accept).outcome == "success"
    assert push(board, *second, accept).outcome == "success"
    assert (root / "current").read_text() == second[1].id
    assert not (root / "current").is_symlink()
    assert opened(root) == second[1].id
    assert (status(board).current, status(board).previous) == (second[1].id, first[1].id)

    def refuse(*_):
        raise Refused("accuracy is 0.71 on 500 samples, 0.89 here")

    third = release(tmp_path, b"3")
    assert push(board, *third, refuse).outcome == "rolled_back"
    assert opened(root) == second[1].id
    switch(board, first[1].id)
    assert opened(root) == first[1].id


def test_a_device_that_goes_and_comes_back_ends_with_the_new_model(adb, phone, tmp_path):
    clock = Clock()
    # Who lost the device cannot give back its lock: the next waits until that is two minutes old.
    board = Board(adb, sleep=lambda seconds: clock.sleep(60 * seconds), clock=clock)
    root = Path(phone.here(adb.root))
    old, new = (release(tmp_path, content * 300_000) for content in (b"old", b"new"))
    push(board, *old, accept)
    seen = []
    for portion in PORTIONS:
        phone.vanish_after = portion
        pushed = push(board, *new, accept)
        assert pushed.outcome == "rolled_back"
        assert "connection was lost" in pushed.reasons[0]
        seen.append(opened(root))
        phone.appear()
    assert set(seen) == {old[1].id}
    assert push(board, *new, accept).outcome == "success"
    assert opened(root) == new[1].id
