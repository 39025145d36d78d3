"""One undisturbed deploy of the tiny task, which others are compared with."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deploying
import pytest


@dataclass(frozen=True)
class Undisturbed:
    folder: Path
    report: dict[str, Any]
    epochs: int
    seconds: float


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Not to be changed: copy `folder` first."""
    folder = deploying.fresh(tmp_path_factory.mktemp("undisturbed") / "project")
    start = time.monotonic()
    report = deploying.deploy(folder)
    return Undisturbed(folder, report, deploying.epochs(folder), time.monotonic() - start)


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[deploying.Cli]:
    started = deploying.Cli(tmp_path_factory.mktemp("cli"))
    yield started
    started.close()
