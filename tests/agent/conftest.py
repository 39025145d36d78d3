"""The agent as it travels: one .pyz, in a process of its own."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from edgecompress.measure.agent_file import build_agent


class Answer(NamedTuple):
    returncode: int
    document: dict[str, Any]
    stderr: str

    @property
    def result(self) -> Any:
        assert self.document["ok"], self.document
        return self.document["result"]

    @property
    def error(self) -> tuple[str, str]:
        assert not self.document["ok"], self.document
        return self.document["error"]["kind"], self.document["error"]["message"]


Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_agent())
    return path


@pytest.fixture
def ask_raw(pyz: Path) -> Ask:
    """ask_raw(stdin, flags, env): runs the agent and parses all of its stdout."""

    def run(stdin: bytes, flags: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Answer:
        done = subprocess.run(
            [sys.executable, *flags, pyz],
            input=stdin,
            capture_output=True,
            timeout=120,
            env={**os.environ, **(env or {})},
            check=False,
        )
        return Answer(done.returncode, json.loads(done.stdout), done.stderr.decode())

    return run


@pytest.fixture
def ask(ask_raw: Ask) -> Ask:
    """ask(command, flags=(..), env={..}, **fields)."""

    def run(
        command: str, flags: tuple[str, ...] = (), env: dict[str, str] | None = None, **fields: Any
    ) -> Answer:
        request = {"schema_version": 1, "command": command, **fields}
        return ask_raw(json.dumps(request).encode(), flags, env)

    return run


@pytest.fixture
def agent_module(
    pyz: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ModuleType]]:
    """agent_module(name): one of the agent's modules, imported here from the file that travels."""
    monkeypatch.syspath_prepend(str(pyz))
    yield lambda name: importlib.import_module(f"edgecompress_agent.{name}")
    for name in [name for name in sys.modules if name.startswith("edgecompress_agent")]:
        monkeypatch.delitem(sys.modules, name)
