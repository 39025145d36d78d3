"""Where everything lies below `runs/`.

runs/index.sqlite              finished stages, runs and their reports
runs/store/<2>/<sha256>        blobs, named by their content
runs/work/<stage key>/         checkpoints of a stage that is not finished
runs/<run id>/                 report.json, report.html and the model files of one run
runs/hashes                    sha256 of files that tasks read, by what stat says of them
runs/code                      which modules a stage's result comes from
runs/sums/<run id>             sha256 of the two reports of one run
runs/quarantine/               what was no longer as it was written: blobs, and indexes
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
    def sums(self) -> Path:
        return self.root / "sums"

    @property
    def hashes(self) -> Path:
        return self.root / "hashes"

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def mending(self) -> Path:
        """Locked by who makes the index, or makes it anew."""
        return self.locks / ".mending"

    @property
    def in_use(self) -> Path:
        """Locked, shared, by every run that is going on."""
        return self.locks / ".in-use"

    @property
    def folders(self) -> tuple[Path, ...]:
        folders = (self.blobs, self.work, self.sums, self.quarantine, self.tmp, self.locks)
        return (self.root, *folders)
