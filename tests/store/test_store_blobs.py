"""Blobs: what goes in comes out, and what changed on the disk never does."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgecompress.errors import ArtifactError
from edgecompress.store import Store


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> Store:
    return Store(tmp_path / "runs", notes.append)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(content=st.binary(max_size=4096), as_file=st.booleans())
def test_put_then_path_gives_the_content_back(
    store: Store, tmp_path: Path, content: bytes, as_file: bool
) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    sha256 = store.put(source if as_file else content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert store.path(sha256).read_bytes() == content


def test_the_same_content_is_kept_once_and_leaves_no_temp_file(store: Store) -> None:
    assert store.put(b"same") == store.put(b"same")
    assert len(list((store.root / "store").glob("*/*"))) == 1
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("damage", [b"content that chan!ed", b"content", b""])
def test_a_changed_or_truncated_blob_is_refused_and_put_aside(store: Store, damage: bytes) -> None:
    sha256 = store.put(b"content that changes")
    blob = store.path(sha256)
    blob.write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"corrupt; moved to .*quarantine"):
        store.path(sha256)
    assert (store.root / "quarantine" / sha256).read_bytes() == damage
    with pytest.raises(ArtifactError, match="cannot be read"):
        store.path(sha256)
    store.put(b"content that changes")
    assert store.path(sha256).read_bytes() == b"content that changes"


def test_put_mends_a_corrupt_blob(store: Store) -> None:
    sha256 = store.put(b"content")
    store.path(sha256).write_bytes(b"damaged")
    store.put(b"content")
    assert store.path(sha256).read_bytes() == b"content"


def test_an_unreadable_source_is_named(store: Store, tmp_path: Path) -> None:
    for source in (tmp_path / "absent", tmp_path):
        with pytest.raises(ArtifactError, match=f"^{source}: cannot be read"):
            store.put(source)
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_only_a_sha256_is_looked_up(store: Store, name: str) -> None:
    with pytest.raises(ArtifactError, match="not a sha256"):
        store.path(name)


def test_copy_to_writes_a_verified_copy_of_its_own(store: Store, tmp_path: Path) -> None:
    sha256 = store.put(b"model")
    copy = tmp_path / "model.onnx"
    copy.write_bytes(b"old")
    store.copy_to(sha256, copy)
    copy.write_bytes(b"the user changes it")
    assert store.path(sha256).read_bytes() == b"model"
    store.path(sha256).write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="corrupt"):
        store.copy_to(sha256, copy)
    assert copy.read_bytes() == b"the user changes it"


def test_a_stage_with_a_bad_blob_is_done_again(store: Store, notes: list[str]) -> None:
    good, bad = store.put(b"good"), store.put(b"bad")
    store.record_stage("k", "train", 1.5, {"loss": [0.1, 0.2]}, {"a": good, "b": bad})
    record = store.stage("k")
    assert record is not None
    assert (record.name, record.seconds, record.result) == ("train", 1.5, {"loss": [0.1, 0.2]})
    store.path(bad).write_bytes(b"BAD")
    assert store.stage("k") is None
    assert len(notes) == 1
    assert bad in notes[0]
    assert notes[0].endswith("the stage that made it is done again")
    assert store.stage("k") is None  # now it is gone rather than corrupt
    store.record_stage("k", "train", 2.0, {}, {"a": good, "b": store.put(b"bad")})
    again = store.stage("k")
    assert again is not None
    assert again.seconds == 2.0


def test_a_stage_cannot_refer_to_a_blob_that_was_never_put(store: Store) -> None:
    with pytest.raises(ArtifactError, match="not in the store"):
        store.record_stage("k", "train", 1.0, {}, {"a": "0" * 64})
    assert store.stage("k") is None


def test_recording_a_stage_drops_its_checkpoints(store: Store) -> None:
    checkpoint = store.work_dir("k") / "epoch-3"
    checkpoint.write_bytes(b"weights")
    store.work_dir("other")
    assert store.work_dir("k") == checkpoint.parent
    store.record_stage("k", "train", 1.0, {}, {})
    assert not checkpoint.parent.exists()
    assert (store.root / "work" / "other").is_dir()


@pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "a\0b"])
def test_a_key_that_is_no_file_name_is_a_defect(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be a stage key"):
        store.work_dir(key)
