"""Seeded faults on every operation of a push: `current` is whole, and it converges."""

import shutil
from pathlib import Path

import pytest
from pushing import accept, board_on, local, opened, quick_folder, release

from edgecompress.push import push, status
from edgecompress.transport.faulty import FAULTS, Faults, FaultyTransport

RATES = (0.01, 0.03, 0.1, 0.3)


def test_random_faults(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """`--faults 10000` is the promise; the default is as many as a suite has time for."""
    runs = request.config.getoption("--faults")
    old, new = release(tmp_path, b"old" * 50), release(tmp_path, b"new" * 70)
    seen: set[str] = set()
    with quick_folder(tmp_path) as base:
        for seed in range(runs):
            folder = base / str(seed)
            transport = local(folder)
            transport.files.symlinks = seed % 5 != 0
            root, healthy = Path(transport.root), board_on(transport)
            assert push(healthy, *old, accept).outcome == "success"
            faults = Faults(seed=seed, rate=RATES[seed % len(RATES)])
            pushed = push(board_on(FaultyTransport(transport, faults)), *new, accept)
            seen.update(fault for _, _, fault in faults.happened)
            active = opened(root)
            assert active in (old[1].id, new[1].id), (seed, faults.happened)
            if pushed.outcome == "success":
                assert active == new[1].id, (seed, faults.happened)
            if pushed.outcome == "rolled_back" and pushed.active is not None:
                assert active == pushed.active, (seed, faults.happened)
            ends = [push(healthy, *new, accept) for _ in range(2)]
            assert ends[-1].outcome == "success", (seed, faults.happened, ends)
            assert opened(root) == new[1].id
            assert status(healthy).holder is None
            shutil.rmtree(folder)
    assert seen == set(FAULTS)
