"""A project that a search takes seconds for."""

from pathlib import Path

import deploying
import pytest
from searching import AUTO

from edgecompress.optimize.space import Space
from edgecompress.spec.load import load_deploy, load_target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The tiny task, and a deploy.yaml whose recipe is to be found."""
    folder = deploying.fresh(tmp_path / "project")
    # It has to lose nothing in int8 after one epoch, which is a longer one than others need.
    task = folder / "task.py"
    task.write_text(task.read_text().replace("1536", "3072"))
    (folder / "deploy.yaml").write_text(AUTO)
    return folder


@pytest.fixture
def space(project: Path) -> Space:
    """Everything that may be chosen there."""
    target = load_target("tiny", project)
    return Space(load_deploy(project / "deploy.yaml"), (target,))
