"""Runs commands of `edgecompress` in processes that have imported everything: for
`damaged_files.py`, which has a hundred thousand of them to run.
"""

import contextlib
import functools
import gc
import importlib
import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).parents[1]
WORD = "error: "
KILLED_S = 20.0
ADDRESSES = 4 << 30
"""More than that is refused to a process, so that this machine survives what goes wrong."""
CASES = 5000
"""After so many a worker is replaced."""
START_S = 5.0
"""What starting the command and its agent, and their imports, take of a CPU at most."""


IMPORTED = (
    "ai_edge_litert.interpreter",
    "devices.agent.infer",
    "devices.agent.measure",
    "devices.agent.optimise",
    "devices.agent.runner_litert",
    "devices.agent.runner_onnxruntime",
    "edgecompress.cli.tables",
    "edgecompress.pipeline.files",
    "edgecompress.pipeline.layers",
    "edgecompress.pipeline.single",
    "onnx.reference",
)
"""What commands and the agent import where they need it."""


class Ran(NamedTuple):
    code: int
    said: str
    """On stderr."""
    seconds: float
    peak_bytes: int
    """Above the memory that it began with."""
    signal: str | None = None
    """That ended it."""


def prepare() -> None:
    """Import what every command imports, and put a call in the place of the agent's start."""
    sys.path.insert(0, str(ROOT))
    import onnxruntime

    agent: Any = importlib.import_module("devices.agent.__main__")
    for name in IMPORTED:
        importlib.import_module(name)
    from edgecompress.spec.load import load_target
    from edgecompress.transport.base import Completed
    from edgecompress.transport.local import LocalTransport

    onnxruntime.set_default_logger_severity(4)

    def run(_: LocalTransport, __: Sequence[str], stdin: bytes, **___: float) -> Completed:
        if not ALONE:
            answer = {"schema_version": agent.SCHEMA_VERSION, **agent._answer(stdin)}
            return Completed(int(not answer["ok"]), json.dumps(answer).encode(), b"")
        Path("request").write_bytes(stdin)
        child = os.fork()
        if not child:
            _redirect("request", "answer", "agent-stderr")
            sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
            with contextlib.suppress(SystemExit):
                agent.main()
            os._exit(0)
        status, peak = _waited(child)
        Path("agent-peak").write_text(str(peak))
        printed, said = Path("answer").read_bytes(), Path("agent-stderr").read_bytes()
        return Completed(os.waitstatus_to_exitcode(status), printed, said)

    @functools.cache
    def quick(name: str, folder: Path | None = None) -> Any:
        target = load_target(name, folder)
        short = {"warmup_iterations": 1, "min_iterations": 1, "min_duration_s": 0.0, "turns": 1}
        protocol = target.measurement.model_copy(update=short)
        return target.model_copy(update={"measurement": protocol})

    agent_module: Any = importlib.import_module("edgecompress.measure.agent")
    content = agent_module.build_agent()
    agent_module.build_agent = lambda: content
    mock.patch.object(LocalTransport, "run", run).start()
    mock.patch("edgecompress.pipeline.single.load_target", quick).start()
    gc.freeze()


DEFAULTS: dict[str, dict[str, Any]] = {
    "inspect": {"require_int8": None, "target": None, "config": Path("deploy.yaml")},
    "compare": {"layers": False, "steps": 2.0, "config": None},
    "measure": {"against": None, "threads": None, "target": "local-onnxruntime"},
}
ALONE: list[bool] = []
"""Not empty in a process of one command, whose agent gets a process too."""


class Worker:
    """Runs commands one after another in one process, and another one when that has died."""

    def __init__(self) -> None:
        self._child = 0
        self._left = 0

    def run(self, command: Sequence[str]) -> Ran:
        if not self._left:
            self._start()
        self._left -= 1
        begin = time.monotonic()
        os.write(self._asked, json.dumps(command).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            ready = select.select([self._answers], [], [], KILLED_S)[0]
            chunk = os.read(self._answers, 65536) if ready else b""
            if not chunk:
                name = self.end()
                return Ran(-1, "", time.monotonic() - begin, 0, name)
            answer += chunk
        return Ran(*json.loads(answer))

    def end(self) -> str:
        """Name of the signal that ended it, mostly that of this."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        status = os.waitpid(self._child, 0)[1]
        os.close(self._asked)
        os.close(self._answers)
        self._left = 0
        return _signal_of(status) or "no signal"

    def _start(self) -> None:
        if self._child:
            with contextlib.suppress(OSError):
                self.end()
        asked, self._asked = os.pipe()
        self._answers, answers = os.pipe()
        self._left = CASES
        self._child = os.fork()
        if not self._child:
            _limit()
            _redirect(os.devnull, os.devnull, os.devnull)
            for line in os.fdopen(asked, encoding="utf-8"):
                os.write(answers, json.dumps(_measured(json.loads(line))).encode() + b"\n")
            os._exit(0)
        os.close(asked)
        os.close(answers)


def forked(command: Sequence[str]) -> Ran:
    """In a process of its own, with the agent in another."""
    begin, before = time.monotonic(), _memory("VmRSS")
    child = os.fork()
    if not child:
        ALONE.append(True)
        _limit()
        _redirect(os.devnull, "stdout", "stderr")
        code = _main(command)
        sys.stderr.flush()
        os._exit(code)
    status, peak = _waited(child)
    agent = Path("agent-peak")
    if agent.exists():
        peak = max(peak, int(agent.read_text()))
        agent.unlink()
    said = Path("stderr").read_text(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    return Ran(code, said, time.monotonic() - begin, peak - before, _signal_of(status))


def started(command: Sequence[str]) -> Ran:
    begin = _children_s()
    argv = [sys.executable, "-m", "edgecompress", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, capture_output=True, text=True, errors="replace", check=False, env=environment
    )
    seconds = _children_s() - begin
    return Ran(done.returncode, done.stderr, max(0.0, seconds - START_S), 0)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measured(command: Sequence[str]) -> Ran:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begin = _memory("VmRSS"), time.monotonic()
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = _called(command)
    seconds = time.monotonic() - begin
    return Ran(code, said.getvalue()[-5000:], seconds, _memory("VmHWM") - before)


def _called(command: Sequence[str]) -> int:
    """As `main` does, without building the whole command line anew, which takes ten times what the
    command itself does.
    """
    import typer

    from edgecompress.cli.failure import failure_of, tell
    from edgecompress.cli.files import files_app

    name, *words = command
    as_json = "--json" in words
    options: dict[str, Any] = {"as_json": as_json}
    if "--target" in words:
        options["target"] = words[words.index("--target") + 1]
    paths = [Path(word) for word in words if word.startswith(("damaged.", "good."))]
    callbacks = {
        one.callback.__name__: one.callback for one in files_app.registered_commands if one.callback
    }
    try:
        callbacks[name](*paths, **DEFAULTS[name] | options)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
        tell(failure, as_json)
        return failure.exit_code
    return 0


def _main(command: Sequence[str]) -> int:
    from edgecompress.cli import main

    sys.argv = ["edgecompress", *command]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _redirect(stdin: str, stdout: str, stderr: str) -> None:
    for number, path, flags in (
        (0, stdin, os.O_RDONLY),
        (1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags, 0o600), number)


def _waited(child: int) -> tuple[int, int]:
    """Status and peak of a process, which is killed after KILLED_S."""
    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, KILLED_S)
    try:
        _, status, usage = os.wait4(child, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return status, usage.ru_maxrss << 10


def _signal_of(status: int) -> str | None:
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"the kernel does not say {name}")
