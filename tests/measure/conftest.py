"""The real agent on this machine."""

import sys
from pathlib import Path

import pytest

from edgecompress.measure.agent import Agent
from edgecompress.spec.protocol import MeasurementProtocol, Standard
from edgecompress.transport import LocalTransport


class CountingTransport(LocalTransport):
    """Remembers the names of the files that were sent."""

    def __init__(self, workdir: Path) -> None:
        super().__init__(workdir)
        self.sent: list[str] = []

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        self.sent.append(Path(remote).name)
        super().put(local, remote, timeout_s=timeout_s)


@pytest.fixture
def transport(tmp_path: Path) -> CountingTransport:
    return CountingTransport(tmp_path / "device")


@pytest.fixture
def agent(transport: CountingTransport) -> Agent:
    return Agent(transport, sys.executable)


@pytest.fixture
def protocol() -> MeasurementProtocol:
    """It does not wait for a steady state; tests/agent says when that is one."""
    return Standard(
        warmup_iterations=2, max_warmup_s=0, min_iterations=20, min_duration_s=0.001, turns=2
    )
