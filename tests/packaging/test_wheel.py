"""The wheel holds what the checkout holds, and works from an empty folder."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import deploying
import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = sorted(file.stem for file in (ROOT / "targets").glob("*.yaml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (found,) = folder.glob("edgecompress-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin/` of a fresh environment: the wheel, and this environment's other packages."""
    folder = tmp_path_factory.mktemp("venv")
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True)
    python = folder / "bin" / "python"
    site = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    # pip installs into `site`; a path file there lends our packages, after its own. Our editable
    # install's own path file is not read from there, so the checkout is not lent.
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    Path(site, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def environment() -> dict[str, str]:
    """In which nothing leads to the checkout."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(installed: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "edgecompress"), *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_bundled_files_are_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in TARGETS:
        assert f"edgecompress/_bundled/targets/{name}.yaml" in names
    assert "edgecompress/_bundled/devices/inventory.yaml" in names
    assert "edgecompress/_bundled/devices/agent/__main__.py" in names
    assert "edgecompress/_bundled/devices/helper/files.py" in names
    assert "edgecompress/init/templates/classification/task.py" in names
    assert "edgecompress/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_nothing_else_is_inside(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"edgecompress"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".onnx")]


def test_every_file_of_the_package_is_inside(wheel: Path) -> None:
    files = [path for path in (ROOT / "edgecompress").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())


def test_commands_work_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "targets", "list", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [target["name"] for target in json.loads(done.stdout)["targets"]] == TARGETS
    # It is the wheel's copy that answered.
    where = [str(installed / "python"), "-c", "import edgecompress; print(edgecompress.__file__)"]
    answer = subprocess.check_output(where, cwd=tmp_path, env=environment(), text=True)
    assert str(installed.parent) in answer


def test_doctor_finds_nothing_missing(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "doctor", "local", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["targets"][0]["problems"] == []


def _half(epochs: re.Match[str]) -> str:
    return f"epochs: {int(epochs[1]) // 2}"


@pytest.mark.slow
def test_init_then_deploy(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "init", folder=tmp_path).returncode == 0
    config = tmp_path / "deploy.yaml"
    # As many epochs as this easy task needs.
    config.write_text(re.sub("epochs: ([246])$", _half, config.read_text(), flags=re.MULTILINE))
    # How fast it is, is not what this is about.
    deploying.write_brief(tmp_path)
    done = run(installed, "deploy", "local", "--json", folder=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode in (0, 3, 5), done.stderr
    assert report["candidate"]["accuracy"] > 0.9
    assert report["candidate"]["int8_op_fraction"] == 1.0
    (run_folder,) = (tmp_path / "runs").glob("*/report.json")
    assert json.loads(run_folder.read_text()) == report
