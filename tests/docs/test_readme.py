"""The README's own code: exactly what it prints is deployed."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import deploying
import pytest
import torch
from my_project import Net, Photos
from torch.nn import functional

from edgecompress import errors

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The only block of that language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: the two blocks, the modules that they name, and trained weights."""
    (tmp_path / "task.py").write_text(block("python"))
    (tmp_path / "deploy.yaml").write_text(block("yaml"))
    shutil.copy(Path(__file__).with_name("my_project.py"), tmp_path)
    torch.save(trained().state_dict(), tmp_path / "weights.pt")
    as_of_a_gpu(tmp_path / "weights.pt")
    deploying.write_brief(tmp_path)
    return tmp_path


def trained() -> Net:
    torch.manual_seed(0)
    net, photos = Net(), Photos("train")
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        functional.cross_entropy(net(photos.images), photos.labels).backward()
        optimizer.step()
    return net


def as_of_a_gpu(path: Path) -> None:
    """Make a file of weights say of its tensors that they lay on a GPU."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            # A string of a pickle: an "X", its length, itself.
            moved = content.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
            assert (moved != content) == name.endswith("/data.pkl")
            archive.writestr(name, moved)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to load it on")
def test_the_weights_want_a_gpu_otherwise(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(folder / "weights.pt", weights_only=True)


@pytest.mark.slow
def test_your_own_model(folder: Path, cli: deploying.Cli) -> None:
    (command,) = re.findall(r"^edgecompress (deploy local)$", README, re.MULTILINE)
    done = cli.run(folder, *command.split())
    # Whether so small a model is faster in int8 is not what this test is about.
    assert done.returncode in deploying.MEASURED, done.stderr
    (run,) = folder.glob("runs/*/report.json")
    report = json.loads(run.read_text())
    assert report["baseline"]["accuracy"] > 0.9
    assert report["candidate"]["accuracy"] >= report["baseline"]["accuracy"] - 0.05
    assert report["candidate"]["int8_op_fraction"] == 1.0
    # Where the README says that results lie.
    for name in re.findall(r"`runs/<id>/([\w.]+)`", README):
        assert (run.parent / name).is_file()
    for name in re.findall(r"`(runs/[\w.]+/?)`", README):
        assert (folder / name).exists()


def test_exit_codes() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    known = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert told == known - {errors.EXIT_DEFECT}


def test_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for name, arguments in re.findall(r"^make (\w+)(.*)$", README, re.MULTILINE):
        assert f"\n{name}:" in makefile
        for variable in re.findall(r"(\w+)=", arguments):
            assert f"\n{variable} ?=" in makefile
