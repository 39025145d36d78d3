"""One undisturbed deploy of the tiny task, which others are compared with."""

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


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """As a user starts it, in a fresh process. Not to be changed: copy `folder` first."""
    folder = deploying.fresh(tmp_path_factory.mktemp("undisturbed") / "project")
    report = deploying.deploy(folder)
    return Undisturbed(folder, report, deploying.epochs(folder))
