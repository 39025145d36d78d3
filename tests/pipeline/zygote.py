"""Runs the command line in forked copies of one process that has torch imported already.

Each copy is a process of its own, which runs the real `main()` in a folder, with file descriptors,
environment and limits of its own; only the seconds of importing are saved.

One JSON line in, one out: {"folder", "arguments", "stdout", "stderr", ...} -> {"code"}.
"""

import json
import os
import resource
import signal
import sys
import traceback
from typing import Any, NoReturn

from edgecompress.cli import main
from edgecompress.pipeline import (
    quantizing,  # noqa: F401  # for its imports, as the next
    whole,  # noqa: F401
)


def become(job: dict[str, Any]) -> NoReturn:
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


def serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    serve()
