"""Runs the command line in forked copies of one process that has torch imported and warm already.

Each copy is a process of its own, which runs the real `main()` in a folder, with a session, file
descriptors, environment and limits of its own; only the seconds of importing are saved, those that
a first deploy takes more than a second one, and those of processes that time nothing (inside.py).

One JSON line in, one out:
{"start": {"folder", "arguments", "stdout", "stderr", ...}} -> {"pid"}
{"wait": pid, "timeout_s": seconds or null} -> {"code"}, null where it is still running
"""

import contextlib
import gc
import json
import os
import resource
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import deploying
from inside import stay_inside
from torchlib import spare

from edgecompress import pipeline
from edgecompress.cli import main
from edgecompress.compress import quantize  # noqa: F401  # whose operators `spare` must find
from edgecompress.progress import SilentProgress
from edgecompress.report import html  # noqa: F401  # for its imports


def warm_up() -> None:
    """Deploy the tiny task untrained: much of torch is imported, and built, only when it is used,
    and what code a stage comes from is found once.
    """
    spare()
    path = list(sys.path)
    with tempfile.TemporaryDirectory() as scratch:
        folder = deploying.unmeasured(Path(scratch) / "project")
        (folder / "deploy.yaml").write_text(deploying.UNTRAINED)
        order = pipeline.Measured(folder / "inventory.yaml")
        for found in pipeline.deploy_all(
            folder / "deploy.yaml", ["tiny"], progress=SilentProgress(), measured=order
        ):
            assert not isinstance(found, pipeline.TargetFailed), found.error
    # The task is a module; that of a test has the same name.
    sys.modules.pop("task")
    sys.path[:] = path
    # Each copy would look through all of it for garbage, again and again.
    gc.collect()
    gc.freeze()


def leave_the_disk_behind() -> None:
    """From here on this process and its copies do not wait until what they wrote is on the disk.
    Those that are killed leave it to the system, which still has it; where the power goes, tests of
    the store and of a push say what must have been waited for.
    """
    connect = sqlite3.connect

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*arguments, **options)
        with contextlib.suppress(sqlite3.Error):  # of a file that is none, which others are to find
            db.execute("PRAGMA synchronous = OFF")
        return db

    sqlite3.connect = connected
    os.fsync = lambda _: None


def become(job: dict[str, Any]) -> NoReturn:
    os.setsid()
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags), number)
    os.chdir(job["folder"])
    os.environ.update(job["environment"])
    if job["file_bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    sys.argv = ["edgecompress", *job["arguments"]]
    sys.path[0] = job["folder"]
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def wait(pid: int, timeout_s: float | None) -> int | None:
    """The exit code, or None when `timeout_s` are over."""
    if timeout_s is None:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    end = time.monotonic() + timeout_s
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.005)


def serve() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            answer = {"code": wait(job["wait"], job["timeout_s"])}
        else:
            answer = {"pid": os.fork()}
            if not answer["pid"]:
                become(job["start"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    leave_the_disk_behind()
    stay_inside(Path(sys.argv[1]))
    warm_up()
    serve()
