"""The agent's work that nobody times, done by the process that asks for it.

A process of its own takes a third of a second to begin, most of it for numpy and the runtime, and a
deploy asks a dozen times. What is measured keeps its process, and so does what another interpreter
is to run; `undisturbed` in pipeline/conftest.py has processes for everything, and many deploys are
compared with it.
"""

import hashlib
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from edgecompress.measure.agent_file import PACKAGE, build_agent
from edgecompress.transport import Completed, LocalTransport

UNTIMED = ("infer", "optimise")
RUNTIMES = ("litert", "onnxruntime")
"""Those that may be in one process with torch, as they are in spoiled deploys too."""


def imported(folder: Path) -> tuple[str, ModuleType]:
    """The agent's name on a device, and its main module; `folder` is to last as long as we do."""
    content = build_agent()
    file = folder / f"agent-{hashlib.sha256(content).hexdigest()}.pyz"
    file.write_bytes(content)
    sys.path.insert(0, str(file))
    try:
        return file.name, importlib.import_module(f"{PACKAGE}.__main__")
    finally:
        sys.path.remove(str(file))


def answered(agent: ModuleType, request: bytes) -> Completed:
    """What a process that has the agent and this request would do."""
    answer: dict[str, object] = agent._answer(request, 1)
    told = {"schema_version": agent.SCHEMA_VERSION, **answer}
    return Completed(0 if answer["ok"] else 1, json.dumps(told, allow_nan=False).encode(), b"")


def stay_inside(folder: Path) -> None:
    """From here on this process and its copies do such work themselves, on this machine."""
    name, agent = imported(folder)
    run = LocalTransport.run

    def ran(
        self: LocalTransport, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float
    ) -> Completed:
        if len(argv) == 2 and argv[0] == sys.executable and Path(argv[1]).name == name:
            asked = json.loads(stdin)
            if asked["command"] in UNTIMED and asked["runtime"] in RUNTIMES:
                return answered(agent, stdin)
        return run(self, argv, stdin, timeout_s=timeout_s)

    LocalTransport.run = ran  # type: ignore[method-assign]
