"""Packages that do not fit torch: no matter to edgecompress, and a line where a task wants them."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import deploying
import pytest
from test_bad_input import assert_one_line

CROOKED = "raise RuntimeError('operator torchvision::nms does not exist')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Where neither torchvision nor transformers can be imported."""
    folder = deploying.fresh(tmp_path / "project")
    (folder / "deploy.yaml").write_text(deploying.SHORT)
    for name in ("torchvision", "transformers"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(CROOKED)
    return folder


def test_a_deploy_starts_without_what_takes_seconds() -> None:
    """torchao is imported by the stages that quantise; a second deploy runs none of them."""
    heavy = (
        "torchao",
        "sympy",
        "torchmetrics",
        "torchvision",
        "transformers",
        "scipy",
        "litert_torch",
    )
    script = (
        "import sys, edgecompress.pipeline.whole\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_deploy_needs_none_of_them(project: Path, cli: deploying.Cli) -> None:
    report = deploying.deploy(project, cli)
    assert report["candidate"]["metric"]["name"] == "MulticlassAccuracy"


@pytest.mark.parametrize(
    ("line", "package"),
    [("import torchvision", None), ("from torchmetrics import Metric", "torchvision")],
)
def test_a_task_that_needs_one(
    project: Path, cli: deploying.Cli, line: str, package: str | None
) -> None:
    task = project / "task.py"
    task.write_text(f"{line}\n{task.read_text()}")
    words = ["task.py cannot be imported: RuntimeError: operator torchvision::nms does not exist"]
    if package is not None:
        words.append(f"; {package} cannot be imported beside torch {version('torch')}; install")
    assert_one_line(cli.run(project), 2, (*words, "torchvision/__init__.py:1"))
