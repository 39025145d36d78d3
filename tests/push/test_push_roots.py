"""What lies where a device's folder should be, or in it, and is not ours."""

import os
import shutil
from pathlib import Path

import pytest
from pushing import accept, board_on, local, opened, release

from edgecompress.push import push, status
from edgecompress.transport import LocalTransport


@pytest.fixture(params=["links", "files"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> LocalTransport:
    transport = local(tmp_path)
    transport.files.symlinks = request.param == "links"
    return transport


@pytest.mark.parametrize("what", ["file", "link to a file", "link to nothing", "pipe"])
def test_a_root_that_is_no_folder_is_named(
    transport: LocalTransport, tmp_path: Path, what: str
) -> None:
    root = Path(transport.root)
    if what == "pipe":
        os.mkfifo(root)
    elif what == "file":
        root.write_bytes(b"the user's")
    else:
        root.symlink_to("file")
    if what == "link to a file":
        (root.parent / "file").write_bytes(b"the user's")
    pushed = push(board_on(transport), *release(tmp_path, b"1"), accept)
    assert pushed.outcome == "rolled_back"
    assert f"{root} is neither a folder nor a link to one" in pushed.reasons[0]


def test_a_root_that_is_a_link_to_a_folder_is_the_user_s_choice(
    transport: LocalTransport, tmp_path: Path
) -> None:
    root = Path(transport.root)
    (tmp_path / "on another disk").mkdir()
    root.symlink_to("on another disk")
    new = release(tmp_path, b"1")
    assert push(board_on(transport), *new, accept).outcome == "success"
    assert opened(root) == new[1].id
    assert root.is_symlink()


@pytest.mark.parametrize(
    "what", ["current", "elsewhere", "releases", "locks/7", "locks/7/owner.json"]
)
def test_status_names_what_is_in_the_way(
    transport: LocalTransport, tmp_path: Path, what: str
) -> None:
    board, root = board_on(transport), Path(transport.root)
    push(board, *release(tmp_path, b"1"), accept)
    path = root / ("current" if what == "elsewhere" else what)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if what == "current":
        path.mkdir()
    elif what == "elsewhere" and transport.files.symlinks:
        path.symlink_to(tmp_path)
    elif what == "locks/7/owner.json":
        os.mkfifo(path)
    else:
        path.write_text("the user's")
    (said,) = status(board).in_the_way
    assert str(path) in said
