"""Stands for a board's Python: runs the real agent, and then lets it misbehave.

`python misbehaving.py CASE AGENT.pyz`, with the agent's request on stdin, as the Python is called
that an inventory names. All other programs, as the helper of an SSH connection, run as they should.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

GOLDEN = 8
"""Samples that the host compares one by one before it sends more."""


def answer(agent: str, request: bytes) -> bytes:
    """What the agent really says, having really done it."""
    command = [sys.executable, agent]
    return subprocess.run(command, input=request, stdout=subprocess.PIPE, check=False).stdout


def change_outputs(request: bytes, change: Callable[[np.ndarray], np.ndarray]) -> None:
    asked = json.loads(request)
    if asked["command"] != "infer":
        return
    path = Path(asked["outputs"])
    with np.load(path) as file:
        changed = {name: change(file[name]) for name in file.files}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in changed.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def wrong_outputs(agent: str, request: bytes) -> bytes:
    said = answer(agent, request)
    change_outputs(request, lambda array: array[:, ::-1].copy())
    return said


def wrong_later(agent: str, request: bytes) -> bytes:
    """Right on the first few; then one sample's outputs are given for another."""
    said = answer(agent, request)
    change_outputs(
        request, lambda array: np.concatenate([array[:GOLDEN], array[: GOLDEN - 1 : -1]])
    )
    return said


def no_numbers(agent: str, request: bytes) -> bytes:
    said = answer(agent, request)
    change_outputs(request, lambda array: np.full_like(array, np.nan))
    return said


def other_hash(agent: str, request: bytes) -> bytes:
    said = json.loads(answer(agent, request))
    if "model_sha256" in said["result"]:
        said["result"]["model_sha256"] = said["result"]["model_sha256"][::-1]
    return json.dumps(said).encode()


def dies_loading(agent: str, request: bytes) -> bytes:
    """As when the kernel finds that the memory is full."""
    sys.path.insert(0, agent)
    from edgecompress_agent import runner

    def activate(_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    runner.Runner.activate = activate
    reader, writer = os.pipe()
    os.write(writer, request)
    os.close(writer)
    os.dup2(reader, 0)
    runpy.run_path(agent, run_name="__main__")
    raise AssertionError("the agent did not load anything")


def hangs(_: str, __: bytes) -> bytes:
    time.sleep(3600)
    return b""


def garbage(agent: str, request: bytes) -> bytes:
    return answer(agent, request)[:-1] + b"\xff\n{"


def endless(_: str, __: bytes) -> bytes:
    while True:
        os.write(1, b"[" * (1 << 16))


def deep(_: str, __: bytes) -> bytes:
    return b"[" * 50_000 + b"]" * 50_000


def escapes(_: str, __: bytes) -> bytes:
    """An error whose words a terminal would obey."""
    error = {"kind": "runtime", "message": "it broke \x1b]0;owned\x07[red]\u202e\x9b2J"}
    return json.dumps({"schema_version": 1, "ok": False, "error": error}).encode()


CASES = {
    case.__name__: case
    for case in (
        wrong_outputs,
        wrong_later,
        no_numbers,
        other_hash,
        dies_loading,
        hangs,
        garbage,
        endless,
        deep,
        escapes,
    )
}


def script(folder: Path, case: str) -> str:
    """A program to be named as `python` in an inventory."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"python-{case}"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {case} "$@"\n')
    path.chmod(0o755)
    return str(path)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if not arguments[0].endswith(".pyz"):
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - as intended
    sys.stdout.buffer.write(CASES[name](arguments[0], sys.stdin.buffer.read()))
