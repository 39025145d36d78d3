"""Progress: plain lines, live bars, silence."""

import io
import os
import re
import subprocess
import sys
import time

import pytest

from edgecompress.progress import Counted, PlainProgress, SilentProgress, Transfer, _left

SCRIPT = """
from edgecompress.progress import progress_on_stderr
progress = progress_on_stderr()
progress.note("before [any] stage")
with progress.stage("train"):
    for epoch in range(3):
        progress.step(epoch + 1, 3, f"epoch {epoch + 1}, loss [0.25]")
with progress.stage("prune"):
    progress.note("cached")
"""


def test_plain_lines() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, every_s=0.0)
    with progress.stage("train"):
        progress.step(1, 2, "epoch 1, loss 0.5")
        with progress.stage("evaluate"):
            progress.note("fp32")
            progress.step(64, 0, "64 samples")
        progress.step(2, 2, "epoch 2, loss 0.4")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if " finished in " not in line] == [
        "[train] started",
        "[train] 1/2 epoch 1, loss 0.5",
        "[evaluate] started",
        "[evaluate] fp32",
        "[evaluate] 64 samples",
        "[train] 2/2 epoch 2, loss 0.4",
    ]
    assert [line.partition(" finished in ")[0] for line in lines if "finished" in line] == [
        "[evaluate]",
        "[train]",
    ]


def test_plain_lines_leave_out_steps_that_follow_at_once() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, every_s=3600.0)
    with progress.stage("calibrate"):
        for batch in range(1, 101):
            progress.step(batch, 100, "")
    assert [line for line in stream.getvalue().splitlines() if "/" in line] == [
        "[calibrate] 100/100"
    ]


def test_a_stage_that_says_nothing_is_heard_of() -> None:
    stream = io.StringIO()
    with PlainProgress(stream, every_s=0.2).stage("export"):
        for _ in range(100):
            if "goes on" in stream.getvalue():
                break
            time.sleep(0.05)
    assert "[export] goes on, 0 s so far\n" in stream.getvalue()


def test_stages_are_numbered_and_the_time_left_is_told() -> None:
    stream = io.StringIO()
    progress = Counted(PlainProgress(stream, every_s=0.0), 2)
    for name in ("train", "prune", "measure"):
        with progress.stage(name), progress.stage("inner"):
            progress.step(1, 2, "half")
    started = [line for line in stream.getvalue().splitlines() if line.endswith("started")]
    assert started[::2] == [
        "[1 of about 2, train] started",
        "[2 of about 2, prune] started",
        "[3, measure] started",
    ]
    assert set(started[1::2]) == {"[inner] started"}
    assert _left(10.0, 1, 4) == ", about 30 s left"
    assert _left(600.0, 1, 2) == ", about 10 min left"
    assert _left(10.0, 0, 4) == _left(10.0, 4, 4) == _left(10.0, 3, 0) == ""


def test_a_stage_that_fails_is_not_called_finished() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    with pytest.raises(ValueError, match="no"), progress.stage("train"):
        raise ValueError("no")
    progress.note("after")
    assert stream.getvalue() == "[train] started\nafter\n"


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    progress = SilentProgress()
    with progress.stage("train"):
        progress.step(1, 1, "x")
        progress.note("x")
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_lines_go_to_stderr_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "[train] 3/3 epoch 3, loss [0.25]" in done.stderr
    assert "\x1b" not in done.stderr


def test_on_a_terminal_finished_stages_stay() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "before [any] stage" in plain
    assert re.search(r"done train  [0-9.]+ s  epoch 3, loss \[0.25\]", plain)
    assert "cached" in plain
    assert re.search(r"done prune  [0-9.]+ s\r\n", plain)
    assert text.rstrip("\r").endswith("\x1b[?25h")  # the cursor is shown again


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO when the other end is closed
        return b""


def test_words_for_bytes_that_move() -> None:
    now, told = [0.0], []
    transfer = Transfer(lambda *what: told.append(what), clock=lambda: now[0])

    def goes(what: str, counts: list[int], total: int) -> list[str]:
        told.clear()
        for count in counts:
            transfer(what, count, total)
            now[0] += 0.5
        return [text for _, _, text in told]

    assert goes("uploading", [20_000 * n for n in range(6)], 8_200_000) == [
        "uploading 0 kB of 8.2 MB",
        "uploading 40 kB of 8.2 MB, 40 kB/s",
        "uploading 80 kB of 8.2 MB, 40 kB/s",
    ]
    assert told[-1][:2] == (80_000, 8_200_000)
    # A rate is of the last seconds, and of this transfer.
    assert goes("uploading", [100_000] * 20, 8_200_000)[-1] == "uploading 100 kB of 8.2 MB, 0 kB/s"
    transfer.stage = "validating"
    assert goes("fetching", [0, 1_000_000, 2_000_000], 0) == [
        "validating: fetching 2.0 MB, 2.0 MB/s",
    ]
    # The last is always told.
    assert goes("sending", [10, 20], 20) == [
        "validating: sending 0 kB of 0 kB",
        "validating: sending 0 kB of 0 kB",
    ]


def test_plain_lanes_tell_shares() -> None:
    stream = io.StringIO()
    with PlainProgress(stream, every_s=3600.0).lane("pi") as lane:
        lane(1, 8, "uploading 1 kB")
        lane(1, 8, "uploading 1 kB")
        lane(2, 8, "uploading 2 kB")
        lane(0, 0, "validating")
    assert (
        stream.getvalue()
        == "pi: uploading 1 kB (12 %)\npi: uploading 2 kB (25 %)\npi: validating\n"
    )
