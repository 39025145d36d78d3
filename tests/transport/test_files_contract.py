"""What transport/files.py promises, kept by this machine's files and by those behind SSH."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sshd import needs_sshd, ssh_device

from edgecompress.errors import DeviceError, StorageError, TimedOut, TransientError
from edgecompress.transport import connect, ssh_files
from edgecompress.transport.local_files import LocalFiles

DEADLINE_S = 60.0
BLOCK = 1 << 20
EVIL = (
    "two  words",
    'it\'s "quoted" \\ `id` $(id) $HOME',
    "new\nline; touch owned",
    "-rf",
    "..owned",
    "ünï çode 象",
    "*",
    b"no utf-8 \xff".decode("utf-8", "surrogateescape"),
)


@pytest.fixture(scope="module")
def behind_ssh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    with connect(ssh_device(folder), folder) as transport:
        yield transport


@pytest.fixture(params=["local", pytest.param("ssh", marks=needs_sshd)])
def files(request):
    if request.param == "local":
        return LocalFiles()
    return request.getfixturevalue("behind_ssh").files


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def append(files, content: bytes, remote: str, offset: int, tmp_path: Path) -> list[int]:
    local, told = tmp_path / "local", []
    local.write_bytes(content)
    files.append(local, remote, offset, timeout_s=DEADLINE_S, sent=told.append)
    return told


def test_what_is_not_there(files, tmp_path):
    absent = str(tmp_path / "absent")
    assert files.size(absent) is None
    assert files.size(f"{absent}/deeper") is None
    assert files.names(absent) == ()
    assert files.read(absent, 10) is None
    assert files.read_link(absent) is None
    assert files.sha256(absent, timeout_s=DEADLINE_S) is None
    files.remove(absent)
    for failing in (
        lambda: files.write(f"{absent}/file", b""),
        lambda: files.rename(absent, f"{absent}2"),
        lambda: files.make_folder(f"{absent}/folder"),
        lambda: files.sync(absent),
        lambda: append(files, b"12", absent, 1, tmp_path),
    ):
        with pytest.raises(DeviceError, match=r"absent.*No such file or directory"):
            failing()


def test_small_files(files, tmp_path):
    remote = str(tmp_path / "file")
    files.write(remote, b"old and longer")
    files.write(remote, b"new \0\n\xff")
    assert Path(remote).read_bytes() == b"new \0\n\xff"
    assert files.size(remote) == 7
    assert files.read(remote, 7) == b"new \0\n\xff"
    assert files.read(remote, 3) == b"new"
    files.write(remote, b"")
    assert files.read(remote, 10) == b""
    files.remove(remote)
    assert not Path(remote).exists()


@pytest.mark.parametrize("cut", ["0", "1", "block - 1", "block", "n - 1", "n"])
def test_append_goes_on_where_it_was_cut(files, tmp_path, cut):
    content = os.urandom(2 * BLOCK + 12345)
    at = {"0": 0, "1": 1, "block - 1": BLOCK - 1, "block": BLOCK}.get(cut, len(content))
    at -= cut == "n - 1"
    remote = tmp_path / "remote"
    # Behind the cut lies what another upload left.
    remote.write_bytes(content[:at] + b"stale" * BLOCK)
    append(files, content, str(remote), at, tmp_path)
    assert remote.read_bytes() == content
    assert files.sha256(str(remote), timeout_s=DEADLINE_S) == sha(content)
    assert files.sha256(str(remote), at, timeout_s=DEADLINE_S) == sha(content[:at])


def test_append_trusts_the_offset_and_tells_how_far_it_is(files, tmp_path):
    content = os.urandom(9 * BLOCK)
    remote = tmp_path / "remote"
    remote.write_bytes(b"x" * 10)
    told = append(files, content, str(remote), 10, tmp_path)
    assert remote.read_bytes() == b"x" * 10 + content[10:]
    assert told == sorted(told)
    assert 10 < told[0] < told[-1] <= len(content)


def test_sha256_of_less_than_is_there_and_of_more(files, tmp_path):
    remote = tmp_path / "remote"
    remote.write_bytes(b"12345")
    assert files.sha256(str(remote), 0, timeout_s=DEADLINE_S) == sha(b"")
    assert files.sha256(str(remote), 9, timeout_s=DEADLINE_S) == sha(b"12345")


def test_only_one_makes_a_folder(files, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(files.make_folder, [str(tmp_path / "lock")] * 12))
    assert sorted(made) == [False] * 11 + [True]


def test_rename_replaces_files_and_links(files, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    files.write(one, b"1")
    files.write(two, b"2")
    files.rename(one, two)
    assert files.names(str(tmp_path)) == ("two",)
    assert files.read(two, 10) == b"1"
    files.link(f"{two}.new", "releases/b")
    files.link(f"{two}.link", "releases/a")
    files.rename(f"{two}.new", f"{two}.link")
    assert files.read_link(f"{two}.link") == "releases/b"
    assert files.read_link(two) is None
    (tmp_path / "folder").mkdir()
    files.rename(str(tmp_path / "folder"), str(tmp_path / "moved"))
    assert files.names(str(tmp_path)) == ("moved", "two", "two.link")
    with pytest.raises(DeviceError, match="File exists"):
        files.link(f"{two}.link", "anywhere")


def test_remove_of_a_folder_follows_no_link_out_of_it(files, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    files.remove(str(tmp_path / "folder"))
    files.remove(str(tmp_path / "link"))
    assert files.names(str(tmp_path)) == ("kept",)
    assert files.names(str(tmp_path / "kept")) == ("file",)


def test_files_and_folders_are_synced(files, tmp_path):
    (tmp_path / "file").write_text("")
    files.sync(str(tmp_path / "file"))
    files.sync(str(tmp_path))


def test_free_bytes(files, tmp_path):
    there = os.statvfs(tmp_path)
    free = there.f_bavail * there.f_frsize
    assert files.free_bytes(str(tmp_path)) == pytest.approx(free, rel=0.2)


@pytest.mark.parametrize("name", EVIL)
def test_names_are_names(files, tmp_path, name):
    folder = f"{tmp_path}/{name}"
    assert files.make_folder(folder) is True
    assert files.make_folder(folder) is False
    first, second = f"{folder}/{name}", f"{folder}/{name} 2"
    files.write(first, b"content")
    files.rename(first, second)
    files.link(first, f"{name} 2")
    assert files.names(str(tmp_path)) == (name,)
    assert files.names(folder) == (name, f"{name} 2")
    assert files.read_link(first) == f"{name} 2"
    assert files.read(second, 100) == b"content"
    assert files.size(second) == 7
    assert files.sha256(second, timeout_s=DEADLINE_S) == sha(b"content")
    files.sync(second)
    assert files.free_bytes(folder) > 0
    local = Path(f"{tmp_path}/local")
    local.write_bytes(b"content more")
    files.append(local, second, 7, timeout_s=DEADLINE_S, sent=lambda _: None)
    assert files.read(second, 100) == b"content more"
    local.unlink()
    files.remove(folder)
    assert files.names(str(tmp_path)) == ()


def test_a_full_disk_is_told_from_one_that_cannot_be_written(files, small_disk):
    with pytest.raises(StorageError, match="/large: No space left on device; make room there"):
        files.write(f"{small_disk}/large", bytes(BLOCK))
    with pytest.raises(StorageError, match="must be writable"):
        files.write("/sys/kernel/notes" if os.geteuid() == 0 else "/etc/passwd", b"")


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    options = ("-t", "tmpfs", "-o", "size=64k", "edgecompress", str(place))
    if not (mount and umount) or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run([umount, str(place)], check=True)


def calls(files, path, local):
    """What opens a file there, each by itself."""
    local.write_bytes(b"content")
    return {
        "read": lambda: files.read(path, 100),
        "write": lambda: files.write(path, b"new"),
        "append": lambda: append(files, b"new", path, 0, local.parent),
        "sha256": lambda: files.sha256(path, timeout_s=DEADLINE_S),
    }


@pytest.mark.parametrize("what", ["link", "dangling link", "pipe", "folder"])
@pytest.mark.parametrize("call", ["read", "write", "append", "sha256"])
def test_only_plain_files_are_opened(files, tmp_path, what, call):
    outside, place = tmp_path / "outside", tmp_path / "place"
    if what == "pipe":
        os.mkfifo(place)
    elif what == "folder":
        place.mkdir()
    else:
        place.symlink_to(outside)
    if what == "link":
        outside.write_bytes(b"the user's")
    with pytest.raises(DeviceError, match=re.escape(str(place))):
        calls(files, str(place), tmp_path / "local")[call]()
    assert place.is_symlink() or place.is_fifo() or place.is_dir()
    assert outside.exists() == (what == "link")
    assert what != "link" or outside.read_bytes() == b"the user's"


def test_entries_say_what_lies_there_and_follow_no_link(files, tmp_path):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    (folder / "inner").mkdir()
    (folder / "away").symlink_to("inner")
    os.mkfifo(folder / "pipe")
    link.symlink_to(folder)
    kinds = {"away": "link", "file": "file", "inner": "folder", "pipe": "other"}
    assert list(files.entries(str(folder)).items()) == list(kinds.items())
    assert files.entries(f"{link}/") == kinds
    assert files.entries(str(link)) == {}
    assert files.entries(str(folder / "file")) == {}


def test_replace_leaves_the_old_or_the_new(files, tmp_path):
    target, new = tmp_path / "document", tmp_path / ".new-1"
    for content in (b"old", b"", bytes(range(256)) * 300):
        files.replace(str(target), str(new), content)
        assert target.read_bytes() == content
        assert files.names(str(tmp_path)) == ("document",)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeviceError, match=r"\.new-1|folder"):
        files.replace(str(tmp_path / "folder"), str(new), b"x")
    new.unlink()
    new.symlink_to(target)
    with pytest.raises(DeviceError, match="is a symbolic link, which is not followed"):
        files.replace(str(tmp_path / "another"), str(new), b"x")
    assert target.read_bytes() == bytes(range(256)) * 300


def test_what_is_not_read_back_as_it_was_sent_replaces_nothing(files, tmp_path, monkeypatch):
    target, new = tmp_path / "document", tmp_path / ".new-1"
    target.write_bytes(b"old")
    if isinstance(files, LocalFiles):
        write = files.write
        monkeypatch.setattr(files, "write", lambda path, _: write(path, b"damaged"))
    else:
        monkeypatch.setattr(ssh_files.hashlib, "sha256", lambda _: SimpleNamespace(hexdigest=str))
    with pytest.raises(TransientError, match="document: was not written as it was sent"):
        files.replace(str(target), str(new), b"new")
    assert target.read_bytes() == b"old"
    assert files.names(str(tmp_path)) == ("document",)


def test_only_a_folder_has_a_size_with_a_slash(files, tmp_path):
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "to file").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nothing")
    there = {each.name for each in tmp_path.iterdir() if files.size(f"{each}/") is not None}
    assert there == {"folder", "link"}


def test_unlink_takes_files_and_links_but_no_folder(files, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file", "file"):
        files.unlink(str(tmp_path / name))
    assert files.names(str(tmp_path)) == ("folder",)
    with pytest.raises(DeviceError, match="folder"):
        files.unlink(str(tmp_path / "folder"))
    assert files.names(str(tmp_path)) == ("folder",)


def test_a_refusal_comes_before_everything_is_sent(files, tmp_path):
    local, told = tmp_path / "local", []
    with local.open("wb") as writer:
        writer.truncate(64 * BLOCK)
    with pytest.raises(DeviceError, match="Is a directory"):
        files.append(local, str(tmp_path), 0, timeout_s=DEADLINE_S, sent=told.append)
    assert told == []


def test_an_append_that_is_too_slow(files, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(b"x" * BLOCK)
    with pytest.raises(TimedOut, match="took longer than -1 s"):
        files.append(local, str(tmp_path / "remote"), 0, timeout_s=-1, sent=lambda _: None)


def test_files_may_be_read_by_the_application(files, tmp_path):
    files.write(str(tmp_path / "written"), b"")
    append(files, b"", str(tmp_path / "appended"), 0, tmp_path)
    files.make_folder(str(tmp_path / "folder"))
    mask = os.umask(0o022)
    os.umask(mask)
    for name, mode in (("written", 0o666), ("appended", 0o666), ("folder", 0o777)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode & ~mask
