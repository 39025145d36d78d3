"""benchmarks/throttle.py, for tests: a slow network in front of a server here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sshd import Daemon, ssh_daemon

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")
sys.path.append(BENCHMARKS)
try:
    from throttle import Throttle, throttled
finally:
    sys.path.remove(BENCHMARKS)

__all__ = ["Throttle", "slow_daemon", "throttled"]


@contextmanager
def slow_daemon(
    folder: Path, bytes_per_s: float, delay_s: float
) -> Iterator[tuple[Daemon, Throttle]]:
    """A board whose SSH server is reached through such a network."""
    with (
        ssh_daemon(folder) as daemon,
        throttled(daemon.port, bytes_per_s, delay_s) as network,
    ):
        config = folder / "ssh_config"
        text = config.read_text().replace(f"Port {daemon.port}", f"Port {network.port}")
        config.write_text(text)
        yield daemon, network
