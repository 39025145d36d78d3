"""Deploys of the tiny task, each made once: an undisturbed one, which others are compared with, and
a short one, whose model is pushed.
"""

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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, cli: deploying.Cli) -> Path:
    """A project with a run whose int8 model is right nearly always. Not to be changed."""
    folder = deploying.fresh(tmp_path_factory.mktemp("finished") / "project")
    (folder / "deploy.yaml").write_text(deploying.SHORT)
    deploying.deploy(folder, cli)
    return folder
