"""How often a push waits for the device: by its steps, and not by its size."""

from pathlib import Path

import pytest
from pushing import accept, release
from sshd import needs_sshd, ssh_device

from edgecompress.push import Board, push
from edgecompress.transport import connect
from edgecompress.transport.ssh_session import Session

MOST = 110
"""Half a minute where each takes 300 ms. There were 95 when this was written."""


@needs_sshd
def test_round_trips_of_a_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, counts, asked = ssh_device(tmp_path / "board"), [], []
    request = Session.request

    async def counted(self: Session, *arguments: object) -> None:
        asked.append(arguments[0])
        await request(self, *arguments)

    monkeypatch.setattr(Session, "request", counted)
    for size in (1 << 10, 1 << 20, 9 << 20):
        model, manifest = release(tmp_path, size.to_bytes(4, "big") * (size // 4))
        asked.clear()
        with connect(device, tmp_path) as transport:
            assert push(Board(transport), model, manifest, accept).outcome == "success"
        assert asked.count("append") == 1
        counts.append(len(asked))
    # The first finds nothing there; the third has a `previous` to remove.
    assert max(counts) <= min(counts) + 10
    assert max(counts) < MOST, sorted(asked)
