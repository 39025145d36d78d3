"""Data without an end is refused at the first byte too many, and a trickle ends at the deadline."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile.adb import AdbChannel, data, ended, entry, of_service, shell
from hostile.channel import forget_peak, peak_bytes
from hostile.helper import GREETING, HelperChannel, packed, trickled

from edgecompress.errors import DeviceError, TimedOut
from edgecompress.transport import Transport, adb_sync

LONG_S = 120.0
SHORT_S = 0.5
SOON_S = 20.0
MOST_BYTES = 60 << 20
CHUNK = b"x" * (256 << 10)
Ask = Callable[[Transport, Path], object]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[HelperChannel]:
    pytest.importorskip("asyncssh")
    channel = HelperChannel(tmp_path)
    yield channel
    channel.close()


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[AdbChannel]:
    pytest.importorskip("adbutils")
    channel = AdbChannel(tmp_path)
    yield channel
    channel.close()


def endless(chunk: bytes, start: bytes = b"") -> Iterator[bytes | float]:
    yield start
    while True:
        yield chunk


def refused(ask: Callable[[], object], match: str) -> None:
    began, start = time.monotonic(), forget_peak()
    with pytest.raises(DeviceError, match=match) as caught:
        ask()
    assert type(caught.value) is DeviceError
    assert time.monotonic() - began < SOON_S
    assert peak_bytes() - start < MOST_BYTES


READS: dict[str, tuple[Ask, str]] = {
    "read": (lambda t, _: t.files.read("/x", 4096), "more than 4,096 bytes"),
    "run": (lambda t, _: t.run(["p"], timeout_s=LONG_S), "'p': more than 8,388,608 bytes"),
    "get": (
        lambda t, folder: t.get("/x", folder / "taken", timeout_s=LONG_S, limit_bytes=1 << 20),
        "more than 1,048,576 bytes",
    ),
}


@pytest.mark.parametrize("name", READS)
def test_a_helper_that_sends_without_an_end(
    name: str, board: HelperChannel, tmp_path: Path
) -> None:
    ask, match = READS[name]
    board.play(endless(packed(b"D", CHUNK), GREETING))
    refused(lambda: ask(board.transport, tmp_path), match)
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize(
    ("chunk", "match"),
    [
        (packed(b"D", CHUNK), "talks nonsense: a frame b'D'"),
        (packed(b"A", b"9" * 5000), "talks nonsense: 99999999999999999999.. has more than 64"),
        (packed(b"A", b"[" * 50_000), "talks nonsense: more than"),
        (b"A\xff\xff\xff\xff", "talks nonsense: a frame b'A' of 4294967295 bytes"),
        (packed(b"P", b"a million"), "counts b'a million' bytes; is it ours"),
    ],
)
def test_a_helper_that_answers_a_small_question_at_length(
    chunk: bytes, match: str, board: HelperChannel
) -> None:
    board.play(endless(chunk, GREETING))
    refused(lambda: board.transport.stat("/x", timeout_s=LONG_S), match)


@pytest.mark.parametrize("name", READS)
def test_a_phone_that_sends_without_an_end(name: str, phone: AdbChannel, tmp_path: Path) -> None:
    ask, match = READS[name]
    start, chunk = (b"", data(b"x" * (64 << 10)))
    if name != "get":
        start, chunk = shell((1, b"4711\n")), shell((1, CHUNK))
    phone.server.said = of_service(name, lambda: endless(chunk, start))
    refused(lambda: ask(phone.transport, tmp_path), match)
    assert not (tmp_path / "taken").exists()


def test_a_folder_without_an_end(phone: AdbChannel) -> None:
    chunk = entry(b"file", 0o100644) * 1000
    phone.server.said = of_service("entries", lambda: endless(chunk))
    link = phone.transport._link
    refused(lambda: adb_sync.entries_in(link, "/x", LONG_S), "more than 20000 entries")


def test_last_words_without_an_end_are_cut(phone: AdbChannel) -> None:
    words = shell((2, b"words\n" * 10_000)) * 100
    phone.server.said = lambda _: iter([shell((1, b"4711\n")), words, ended()])
    start = forget_peak()
    assert len(phone.transport.run(["p"], timeout_s=LONG_S).stderr) <= 1 << 20
    assert peak_bytes() - start < MOST_BYTES


@pytest.mark.parametrize("name", ["stat", "run", "get"])
def test_a_trickle_does_not_outlive_the_deadline(
    name: str, board: HelperChannel, phone: AdbChannel, tmp_path: Path
) -> None:
    asked: dict[str, Ask] = {
        "stat": lambda t, _: t.stat("/x", timeout_s=SHORT_S),
        "run": lambda t, _: t.run(["p"], timeout_s=SHORT_S),
        "get": lambda t, folder: t.get("/x", folder / "taken", timeout_s=SHORT_S),
    }
    board.play(trickled(GREETING + packed(b"S", b"x" * 4000) * 9))
    phone.server.said = lambda _: trickled(shell((2, b"x" * 4000)) if name == "run" else data(b"x"))
    for transport in (board.transport, phone.transport):
        began = time.monotonic()
        with pytest.raises((TimedOut, DeviceError)):
            asked[name](transport, tmp_path)
        # And what it takes to end what may still run there.
        assert time.monotonic() - began < SHORT_S + 5
