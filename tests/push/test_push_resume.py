"""What is sent again after a cut, and what is not trusted."""

from pathlib import Path

import pytest
from pushing import accept, board_on, local, opened, quick_folder, release

from edgecompress.errors import TransientError
from edgecompress.push import Board, make_folders, push
from edgecompress.transport import LocalTransport
from edgecompress.transport.files import Sent
from edgecompress.transport.local_files import LocalFiles

SIZE = 3 * (1 << 20) + 17
BLOCK = 1 << 20


def _part(transport: LocalTransport, sha256: str) -> Path:
    make_folders(Board(transport))
    return Path(transport.root) / "incoming" / f"{sha256}.part"


@pytest.mark.parametrize("cut", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, SIZE - 1, SIZE])
def test_only_the_rest_is_sent(tmp_path: Path, cut: int) -> None:
    transport = local(tmp_path)
    content = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)
    model, manifest = release(tmp_path, content)
    _part(transport, manifest.sha256).write_bytes(content[:cut])
    pushed = push(board_on(transport), model, manifest, accept)
    assert (pushed.outcome, pushed.sent_bytes) == ("success", SIZE - cut)
    assert opened(Path(transport.root)) == manifest.id


@pytest.mark.parametrize("stale", ["another's", "grew", "zeros at the end", "one bit"])
def test_what_is_not_ours_is_not_trusted(tmp_path: Path, stale: str) -> None:
    transport = local(tmp_path)
    content = bytes(range(1, 251)) * 40
    model, manifest = release(tmp_path, content)
    wrong = {
        "another's": bytes(5000),
        "grew": content + b"more",
        "zeros at the end": content[:5000] + bytes(2000),
        "one bit": content[:100] + bytes([content[100] ^ 1]) + content[101:7000],
    }
    _part(transport, manifest.sha256).write_bytes(wrong[stale])
    pushed = push(board_on(transport), model, manifest, accept)
    assert (pushed.outcome, pushed.sent_bytes) == ("success", len(content))
    assert opened(Path(transport.root)) == manifest.id


def test_a_partial_upload_of_another_model_is_removed(tmp_path: Path) -> None:
    transport = local(tmp_path)
    model, manifest = release(tmp_path, b"1")
    other = _part(transport, "f" * 64)
    other.write_bytes(bytes(1000))
    assert push(board_on(transport), model, manifest, accept).outcome == "success"
    assert not other.exists()


class FlippingFiles(LocalFiles):
    """A card that changes one bit of what is written, as often as it is told."""

    def __init__(self, at: int, times: int) -> None:
        self.at, self.times = at, times

    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        super().append(local, remote, offset, timeout_s=timeout_s, sent=sent)
        if self.times:
            self.times -= 1
            content = bytearray(Path(remote).read_bytes())
            content[self.at] ^= 1
            Path(remote).write_bytes(content)


def test_a_flipped_bit_in_any_block_is_seen_and_sent_again(tmp_path: Path) -> None:
    size, block = 64 << 10, 4 << 10
    with quick_folder(tmp_path) as folder:
        for start in range(0, size, block):
            transport = local(folder / str(start))
            transport.files = FlippingFiles(start + 5, times=1)
            model, manifest = release(folder, bytes(size))
            pushed = push(board_on(transport), model, manifest, accept)
            assert (pushed.outcome, pushed.sent_bytes) == ("success", 2 * size)


def test_a_card_that_always_lies_is_refused(tmp_path: Path) -> None:
    transport = local(tmp_path)
    old = release(tmp_path, b"old")
    push(board_on(transport), *old, accept)
    transport.files = FlippingFiles(5, times=99)
    pushed = push(board_on(transport), *release(tmp_path, bytes(100)), accept)
    assert pushed.outcome == "rolled_back"
    assert "arrived damaged, twice" in pushed.reasons[0]
    assert opened(Path(transport.root)) == old[1].id


class LosingFiles(LocalFiles):
    """A way that is lost whenever so many bytes have got through."""

    def __init__(self, each_bytes: int) -> None:
        self.each_bytes = each_bytes
        self.tries = 0

    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        self.tries += 1
        cut = local.with_suffix(".cut")
        cut.write_bytes(local.read_bytes()[: offset + self.each_bytes])
        super().append(cut, remote, offset, timeout_s=timeout_s, sent=sent)
        if cut.stat().st_size < local.stat().st_size:
            raise TransientError("lost again")


def test_tries_that_get_further_are_not_the_last(tmp_path: Path) -> None:
    transport = local(tmp_path)
    transport.files = files = LosingFiles(300_000)
    model, manifest = release(tmp_path, bytes(range(256)) * (SIZE // 256))
    pushed = push(board_on(transport), model, manifest, accept)
    assert pushed.outcome == "success"
    assert files.tries == -(-manifest.size_bytes // 300_000)
    transport.files = files = LosingFiles(30_000)
    model, manifest = release(tmp_path, bytes(range(1, 251)) * (SIZE // 250))
    pushed = push(board_on(transport), model, manifest, accept)
    assert "lost again" in pushed.reasons[0]
    assert files.tries == 5
