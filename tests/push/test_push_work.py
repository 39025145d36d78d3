"""What the real agent leaves in the working folder of a device: nothing, once somebody pushed."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from pushing import accept, board_on, local, opened, release

from edgecompress.errors import EdgecompressError, Refused
from edgecompress.measure.agent import Agent, Inference
from edgecompress.push import Alive, Manifest, Validate, push, switch
from edgecompress.transport import LocalTransport


class Place:
    """A device, a model to push, and another that it is compared with there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transport: LocalTransport = local(folder / "device")
        self.work = Path(self.transport.workdir)
        onnx_files.linear(folder / "baseline.onnx", features=4, classes=3)
        self.baseline = onnx_files.loaded(folder / "baseline.onnx")
        self.inputs = folder / "inputs.npz"
        np.savez(self.inputs, x=np.ones((1, 4), np.float32))

    def release(self, content: bytes) -> tuple[Path, Manifest]:
        return release(self.folder, content)

    def compare(self, _: str, alive: Alive) -> None:
        """What a validation does with the agent."""
        alive(60.0)
        agent = Agent(self.transport, sys.executable)
        agent.infer(self.baseline, Inference(self.inputs, self.folder / "outputs.npz"))
        assert self.suffixes() == {".onnx", ".pyz"}

    def suffixes(self) -> set[str]:
        return {path.suffix for path in self.work.rglob("*")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("error", [None, Refused("too slow")])
def test_a_push_removes_what_it_measured_with(
    place: Place, error: EdgecompressError | None
) -> None:
    def validate(path: str, alive: Alive) -> None:
        place.compare(path, alive)
        if error is not None:
            raise error

    pushed = push(board_on(place.transport), *place.release(b"1"), validate)
    assert pushed.outcome == ("rolled_back" if error else "success")
    assert list(place.work.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("command", ["push", "rollback"])
def test_what_a_killed_push_left_is_removed_by_the_next_command(place: Place, command: str) -> None:
    board = board_on(place.transport)
    first, second, third = (place.release(content) for content in (b"1", b"2", b"3"))
    for pair in (first, second):
        assert push(board, *pair, accept).outcome == "success"

    def killed(path: str, alive: Alive) -> None:
        place.compare(path, alive)
        os.kill(os.getpid(), signal.SIGKILL)

    _in_a_child(place, third, killed)
    (place.work / "deep" / "er").mkdir(parents=True)
    (place.work / "deep" / "er" / "file").write_bytes(b"left")
    assert place.suffixes() == {".onnx", ".pyz", ""}
    if command == "push":
        # It sees its own files only.
        assert push(board, *third, place.compare).outcome == "success"
    else:
        assert switch(board, None).outcome == "success"
    assert opened(Path(place.transport.root)) == (third if command == "push" else first)[1].id
    assert list(place.work.iterdir()) == []


def _in_a_child(place: Place, pair: tuple[Path, Manifest], validate: Validate) -> None:
    child = os.fork()
    if child == 0:
        try:
            push(board_on(place.transport), *pair, validate)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_who_was_overtaken_leaves_the_others_files_alone(place: Place) -> None:
    board = board_on(place.transport)
    theirs = place.work / "theirs.npz"

    def overtaken(_: str, alive: Alive) -> None:
        # As another does who takes the lock over.
        Path(board.path("locks", "9")).mkdir()
        theirs.write_bytes(b"being measured")
        alive(60.0)

    pushed = push(board, *place.release(b"1"), overtaken)
    assert "took over the lock" in pushed.reasons[0]
    assert theirs.read_bytes() == b"being measured"
    assert push(board, *place.release(b"1"), accept).outcome == "success"
    assert not theirs.exists()
