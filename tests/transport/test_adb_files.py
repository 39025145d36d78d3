"""The steps of a push on an Android device, run by mksh and toybox, which Android has."""

import hashlib
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from android_phone.phone import adb, adb_server, make_phone, phone

from edgecompress.errors import DeviceError, StorageError, TransientError
from edgecompress.transport import adb_files

__all__ = ["adb", "adb_server", "make_phone", "phone"]

DEADLINE_S = 60.0
EVIL = (
    "two  words",
    'it\'s "quoted" \\ `id` $(id) $HOME',
    "new\nline",
    "-rf",
    "; touch owned",
    "ünï çode 象",
    "*",
    b"no utf-8 \xff".decode("utf-8", "surrogateescape"),
)


@pytest.fixture
def files(adb):
    return adb.files


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in (root / "data").rglob("*")}


@pytest.mark.parametrize("name", EVIL)
def test_names_are_names(adb, files, phone, tmp_path, name):
    before = everything(phone.root)
    folder = adb.path(name)
    assert files.make_folder(folder) is True
    assert files.make_folder(folder) is False
    first, second = f"{folder}/{name}", f"{folder}/{name} 2"
    files.write(first, b"content")
    files.rename(first, second)
    assert files.names(adb.workdir) == (name,)
    assert files.names(folder) == (f"{name} 2",)
    assert files.read(second, 100) == b"content"
    assert files.size(second) == 7
    assert files.sha256(second, timeout_s=DEADLINE_S) == hashlib.sha256(b"content").hexdigest()
    local = tmp_path / "local"
    local.write_bytes(b"more")
    files.append(local, first, 0, timeout_s=DEADLINE_S, sent=lambda _: None)
    adb.get(first, tmp_path / "back", timeout_s=DEADLINE_S)
    assert (tmp_path / "back").read_bytes() == b"more"
    assert files.free_bytes(folder) > 0
    files.remove(folder)
    assert everything(phone.root) == before


def test_append_sends_whole_files_only(adb, files, tmp_path):
    local, remote = tmp_path / "local", adb.path("file")
    local.write_bytes(os.urandom(300_000))
    told: list[int] = []
    files.write(remote, bytes(400_000))
    files.append(local, remote, 0, timeout_s=DEADLINE_S, sent=told.append)
    assert files.read(remote, 1 << 20) == local.read_bytes()
    assert told == sorted(told)
    assert told[-1] == 300_000
    assert files.resumes is False
    with pytest.raises(DeviceError, match="adb sends whole files, not what is behind 7"):
        files.append(local, remote, 7, timeout_s=DEADLINE_S, sent=told.append)


def test_pointers_are_files_that_a_rename_replaces(adb, files):
    assert files.symlinks is False
    current = adb.path("current")
    for release in (b"one", b"two"):
        files.write(adb.path("temporary"), release)
        files.rename(adb.path("temporary"), current)
        assert files.read(current, 100) == release
        assert files.read_link(current) is None
    files.sync(adb.workdir)
    with pytest.raises(DeviceError, match="no symbolic links on Android"):
        files.link(current, "releases/one")


def test_rename_does_not_move_into_a_folder_of_that_name(adb, files):
    files.write(adb.path("file"), b"x")
    files.make_folder(adb.path("folder"))
    with pytest.raises(DeviceError, match="folder: is a folder"):
        files.rename(adb.path("file"), adb.path("folder"))
    assert files.names(adb.path("folder")) == ()
    with pytest.raises(DeviceError, match=r"absent.*No such file"):
        files.rename(adb.path("absent"), adb.path("file"))


def test_what_is_not_there(adb, files):
    absent = adb.path("absent")
    assert files.size(absent) is None
    assert files.names(absent) == ()
    assert files.read(absent, 10) is None
    assert files.sha256(absent, timeout_s=DEADLINE_S) is None
    assert files.read_link(absent) is None
    files.remove(absent)
    with pytest.raises(DeviceError):
        files.sync(absent)
    with pytest.raises(DeviceError, match=r"absent.*No such file"):
        files.make_folder(f"{absent}/folder")
    with pytest.raises(DeviceError, match="No such file"):
        files.write(f"{absent}/file", b"x")


def test_start_of_a_file_is_hashed_there(adb, files):
    content = os.urandom(100_000)
    files.write(adb.path("file"), content)
    for length in (0, 1, 99_999, 100_000):
        expected = hashlib.sha256(content[:length]).hexdigest()
        assert files.sha256(adb.path("file"), length, timeout_s=DEADLINE_S) == expected


def test_small_files(adb, files):
    files.write(adb.path("file"), b"old and longer")
    files.write(adb.path("file"), b"new \0\n\xff")
    assert files.read(adb.path("file"), 7) == b"new \0\n\xff"
    assert files.read(adb.path("file"), 3) == b"new"


def test_the_application_may_read_what_is_written(adb, files, phone, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(b"x")
    mask = os.umask(0o077)
    try:
        files.write(adb.path("written"), b"")
        files.append(local, adb.path("appended"), 0, timeout_s=DEADLINE_S, sent=lambda _: None)
        files.make_folder(adb.path("folder"))
    finally:
        os.umask(mask)
    for name, mode in (("written", 0o644), ("appended", 0o644), ("folder", 0o755)):
        assert stat.S_IMODE(Path(phone.here(adb.path(name))).stat().st_mode) == mode


def test_full_disk_while_appending(adb, files, phone, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(bytes(3 << 20))
    phone.full_after = 1 << 20
    with pytest.raises(StorageError, match="No space left on device; make room there"):
        files.append(local, adb.path("f"), 0, timeout_s=DEADLINE_S, sent=lambda _: None)


def test_names_that_no_path_may_have(files):
    for path in ("/data/local/tmp/a\0b", "/" + "a" * 2000):
        with pytest.raises(DeviceError, match="is no path that adb takes"):
            files.size(path)


def test_replace_leaves_the_old_or_the_new(adb, phone, monkeypatch):
    files, target, new = adb.files, adb.path("document"), adb.path(".new-1")
    for content in (b"old", b"", bytes(range(256)) * 300):
        files.replace(target, new, content)
        assert files.read(target, 1 << 20) == content
        assert files.names(adb.workdir) == ("document",)
    monkeypatch.setattr(adb_files.hashlib, "sha256", lambda _: SimpleNamespace(hexdigest=str))
    with pytest.raises(TransientError, match="document: was not written as it was sent"):
        files.replace(target, new, b"new")
    assert files.read(target, 1 << 20) == bytes(range(256)) * 300
    assert files.names(adb.workdir) == ("document",)


def test_nothing_but_plain_files_is_opened(adb, phone):
    files, place, outside = adb.files, adb.path("place"), Path(phone.here(adb.path("outside")))
    outside.write_bytes(b"the user's")
    Path(phone.here(place)).symlink_to(outside)
    for call in (
        lambda: files.read(place, 10),
        lambda: files.write(place, b"x"),
        lambda: files.replace(adb.path("document"), place, b"x"),
        lambda: files.sha256(place, timeout_s=60),
    ):
        with pytest.raises(DeviceError, match="place: is a symbolic link, not followed"):
            call()
    assert outside.read_bytes() == b"the user's"
    assert files.entries(place) == {}
    assert dict(files.entries(adb.workdir)) == {"outside": "file", "place": "link"}
    files.unlink(place)
    files.make_folder(place)
    with pytest.raises(DeviceError, match="is a folder"):
        files.unlink(place)
