"""Where everything lies below `runs/`.

runs/index.sqlite              finished stages, runs and their reports
runs/store/<2>/<sha256>        blobs, named by their content
runs/work/<stage key>/         checkpoints of a stage that is not finished
runs/<run id>/                 report.json, report.html and the model files of one run
runs/quarantine/               blobs whose content was no longer what their name says
runs/tmp/, runs/locks/         of no value once nobody is at work
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    root: Path

    @property
    def index(self) -> Path:
        return self.root / "index.sqlite"

    @property
    def blobs(self) -> Path:
        return self.root / "store"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def in_use(self) -> Path:
        """Locked, shared, by every run that is going on."""
        return self.locks / ".in-use"

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.root, self.blobs, self.work, self.quarantine, self.tmp, self.locks)
