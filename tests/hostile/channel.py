"""What a channel is, and how it is run: so many seeded answers, and what came of each."""

import logging
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edgecompress.errors import EdgecompressError


class Channel(ABC):
    """A device whose answers are wrong; the code that reads them is the real one.

    To make one imports and warms what it takes, so that memory grows by the answers alone.
    """

    name: str

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def right(self) -> None:
        """Ask everything once, of a device that is in order: nothing is raised."""

    @abstractmethod
    def answer(self, seed: int) -> object:
        """Ask once, and get an answer changed by this seed; raises what the caller would see."""

    @abstractmethod
    def close(self) -> None:
        """End what was started."""


@dataclass
class Outcome:
    """What became of all the answers of one channel."""

    name: str
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Class of the error, or 'answered'."""
    violations: list[str] = field(default_factory=list)
    """Seed and traceback of what is no EdgecompressError."""
    slowest_s: float = 0.0
    slowest_seed: int = 0
    grown_bytes: int = 0
    """The largest memory above that at the start."""


class Logged(logging.Handler):
    """What a library logs ends on stderr, unescaped."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"logged by {record.name}: {record.getMessage()}")


def run(channel: Channel, seeds: range) -> Outcome:
    logged = Logged()
    logging.getLogger().addHandler(logged)
    try:
        outcome = _run(channel, seeds)
    finally:
        logging.getLogger().removeHandler(logged)
    outcome.violations += logged.lines
    return outcome


def _run(channel: Channel, seeds: range) -> Outcome:
    outcome = Outcome(channel.name)
    start_bytes = forget_peak()
    for seed in seeds:
        began = time.monotonic()
        try:
            channel.answer(seed)
            kind = "answered"
        except EdgecompressError as error:
            kind = type(error).__name__
            if "defect" in str(error):
                outcome.violations.append(f"seed {seed}: {error}")
        except Exception:
            kind = "violation"
            outcome.violations.append(f"seed {seed}: {traceback.format_exc()}")
        took_s = time.monotonic() - began
        outcome.count += 1
        outcome.kinds[kind] += 1
        if took_s > outcome.slowest_s:
            outcome.slowest_s, outcome.slowest_seed = took_s, seed
    outcome.grown_bytes = peak_bytes() - start_bytes
    return outcome


def forget_peak() -> int:
    """Memory now, in bytes; the kernel's high-water mark begins here again."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """The kernel's own mark, which misses nothing between two looks."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
