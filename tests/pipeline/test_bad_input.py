"""Whatever a user gets wrong: one line that says what, where and what to do; nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import deploying
import pytest
from broken_tasks import BROKEN


@pytest.fixture
def project(tmp_path: Path, undisturbed) -> Path:
    """With the results of an earlier deploy."""
    return Path(shutil.copytree(undisturbed.folder, tmp_path / "project"))


def results(folder: Path) -> dict[str, bytes]:
    """What the finished runs left for the user."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for report in (folder / "runs").glob("*/report.json")
        for file in report.parent.iterdir()
    }


def assert_one_line(
    done: subprocess.CompletedProcess[str], code: int, words: tuple[str, ...]
) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    missing = [word for word in words if word not in errors[0]]
    assert not missing, f"{missing} not in: {errors[0]}"
    assert done.returncode == code, errors[0]


def refused(
    cli: deploying.Cli, folder: Path, *arguments: str, code: int = 2, words: tuple[str, ...]
) -> None:
    """The command ends in that one line, and what was there before is untouched."""
    before = results(folder)
    assert before
    done = cli.run(folder, *arguments)
    assert_one_line(done, code, words)
    if "--json" in (arguments or deploying.DEPLOY):
        assert json.loads(done.stdout)["error"]["exit_code"] == code
    deploying.assert_sound(folder)
    assert results(folder) == before
    assert cli.run(folder, "report", "latest", "--json").returncode == 0


def replace_once(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


# deploy.yaml


@dataclass(frozen=True)
class Edit:
    """In a file, `old` (once there) becomes `new`; the error must have the words."""

    old: str
    new: str
    words: tuple[str, ...]
    file: str = "deploy.yaml"


PRUNE = "pruning_ratio: 0.5\n  steps: 1"
UNSTRUCTURED = "prune: {method: unstructured, sparsity: 0.5, scope: layer}\n"
EDITS = {
    "unknown_key": Edit("seed: 0", "sead: 0", ("deploy.yaml", "sead", "did you mean 'seed'")),
    "duplicate_key": Edit("seed: 0", "seed: 0\nseed: 1", ("deploy.yaml", "seed", "twice")),
    "boolean_for_a_word": Edit("ranges: minmax", "ranges: no", ("deploy.yaml", "quote")),
    "wrong_unit": Edit(
        "max_metric_drop: 0.5",
        "max_metric_drop: 0.5\n  model_size_bytes: 2 MB",
        ("deploy.yaml", "budgets.model_size_bytes", "2000000"),
    ),
    "qat_without_train": Edit(
        "  train:\n    epochs: 2\n    optimizer: sgd\n    learning_rate: 0.005\n",
        "",
        ("deploy.yaml", "quantize", "needs train"),
    ),
    "task_file_missing": Edit("task.py:Tiny", "tusk.py:Tiny", ("tusk.py", "no such file")),
    "no_such_class": Edit("task.py:Tiny", "task.py:Tony", ("task.py:Tony", "it has: Tiny")),
    "class_is_no_task": Edit("task.py:Tiny", "task.py:TinyNet", ("TinyNet", "it has: Tiny")),
    "no_such_package": Edit(
        "task.py:Tiny", "my.package:Tiny", ("my.package", "cannot be imported")
    ),
    "unknown_option": Edit(
        "path: task.py:Tiny",
        "path: task.py:Tiny\n  options: {sise: 3}",
        ("task.py:Tiny", "sise", "TypeError"),
    ),
    "declared_file_missing": Edit(
        "path: task.py:Tiny",
        "path: task.py:Tiny\n  files: [weights.pt]",
        ("task.files", "weights.pt", "no such file"),
    ),
    "keep_float_unknown": Edit(
        "ranges: minmax",
        "ranges: minmax\n  keep_float: [haed]",
        ("quantize.keep_float", "haed", "known:", "head"),
    ),
    "ignored_layers_unknown": Edit(
        PRUNE, f"{PRUNE}\n  ignored_layers: [bod]", ("ignored_layers", "bod", "body")
    ),
    "nothing_prunable": Edit(
        PRUNE,
        f"{PRUNE}\n  ignored_layers: [stem, body, down, head]",
        ("no channels can be pruned", "leave out prune"),
    ),
    "reduction_out_of_reach": Edit(
        "pruning_ratio: 0.5", "macs_reduction: 500.0", ("macs_reduction", "500")
    ),
    "feature_layer_unknown": Edit(
        "quantize:",
        "distill: {temperature: 4.0, weight: 0.5, feature_layers: [boddy], feature_weight: 1.0}\n"
        "quantize:",
        ("distill.feature_layers", "boddy", "known:"),
    ),
    "sparsity_the_target_gains_nothing_from": Edit(
        "sparsity: [structured, unstructured]",
        "sparsity: []",
        ("prune.method 'structured'", "'tiny'", "supported there: none"),
        file="targets/tiny.yaml",
    ),
    "wrong_target_file": Edit(
        "round_to: 8", "round_to: 0", ("targets/tiny.yaml", "round_to"), file="targets/tiny.yaml"
    ),
    "wrong_inventory": Edit(
        "transport: local", "transport: pigeon", ("inventory.yaml", "pigeon"), file="inventory.yaml"
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited(project: Path, cli: deploying.Cli, name: str) -> None:
    edit = EDITS[name]
    replace_once(project / edit.file, edit.old, edit.new)
    refused(cli, project, words=edit.words)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_task(project: Path, cli: deploying.Cli, name: str) -> None:
    source, words = BROKEN[name]
    (project / "broken.py").write_text(source)
    text = (project / "deploy.yaml").read_text()
    (project / "deploy.yaml").write_text(text.replace("task.py:Tiny", "broken.py:Broken"))
    refused(cli, project, words=words)


# Commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy", "tinny"), ("target 'tinny' is unknown", "did you mean 'tiny'")),
        (("deploy", "tiny", "-c", "other/deploy.yaml"), ("other/deploy.yaml", "edgecompress init")),
        (("deploy", "tiny", "--inventory", "none.yaml"), ("none.yaml", "no such file")),
        (("report", "20200101"), ("run '20200101' is unknown", "recent: ")),
    ],
)
def test_named_wrongly(
    project: Path, cli: deploying.Cli, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(cli, project, *arguments, words=words)


@pytest.mark.parametrize("command", ["inspect", "evaluate", "measure"])
@pytest.mark.parametrize("damage", ["truncated", "text", "missing", "unknown_format"])
def test_damaged_artifact(project: Path, cli: deploying.Cli, command: str, damage: str) -> None:
    (model,) = (project / "runs").glob("*/model.onnx")
    file = project / ("model.pt" if damage == "unknown_format" else "damaged.onnx")
    if damage == "text":
        file.write_text("This is no model.\n" * 50)
    elif damage != "missing":
        content = model.read_bytes()
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else content)
    refused(cli, project, command, file.name, words=(file.name,))


# Devices


@pytest.fixture
def inventory_with(project: Path):
    def write(python: str) -> None:
        text = (project / "inventory.yaml").read_text()
        (project / "inventory.yaml").write_text(f"{text}    python: {python}\n")

    return write


def test_runtime_missing_on_the_device(
    project: Path, cli: deploying.Cli, inventory_with, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    inventory_with(str(tmp_path / "bare" / "bin" / "python"))
    refused(cli, project, code=4, words=("this machine", "numpy", "install"))


def test_no_python_on_the_device(project: Path, cli: deploying.Cli, inventory_with) -> None:
    inventory_with("no/such/python")
    refused(cli, project, code=4, words=("this machine", "no/such/python", "cannot be started"))


def test_no_device_of_the_target_is_told_from_ship(project: Path, cli: deploying.Cli) -> None:
    (project / "inventory.yaml").write_text("devices: []\n")
    done = cli.run(project)
    assert done.returncode == 5
    report = json.loads(done.stdout)
    assert report["verdict"]["decision"] == "unmeasured"
    assert report["candidate"]["latency_ms_p50"] is None
    assert report["candidate"]["accuracy"] > 0.5


# Disks


def test_a_file_where_runs_should_be(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    (folder / "runs").write_text("mine")
    assert_one_line(cli.run(folder), 2, ("runs", "a file is where a folder is needed"))
    assert (folder / "runs").read_text() == "mine"


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A read-only disk for root, whom permissions do not bind."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    mount_or_skip("-o", "bind", str(folder), str(folder))
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)  # noqa: S607
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def mount_or_skip(*arguments: str) -> None:
    mount = ["mount", *arguments]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")


def test_read_only_folder(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    with read_only(folder):
        done = cli.run(folder)
    assert_one_line(done, 2, ("runs", "no permission to write", "make it writable"))


def test_read_only_results(project: Path, cli: deploying.Cli) -> None:
    before = results(project)
    with read_only(project):
        done = cli.run(project)
    assert_one_line(done, 2, ("runs", "no permission to write", "make it writable"))
    assert results(project) == before
    deploying.assert_sound(project)


def test_no_room_for_a_file(project: Path, cli: deploying.Cli) -> None:
    """What is too large is a checkpoint of the training."""
    before = results(project)
    replace_once(project / "deploy.yaml", "learning_rate: 0.01", "learning_rate: 0.011")
    done = cli.run(project, file_bytes=100_000)
    assert_one_line(done, 2, ("runs/work", "file is larger than this process may write"))
    deploying.assert_sound(project)
    assert results(project) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A project whose runs/ lies on a disk of 40 kB."""
    folder = deploying.fresh(tmp_path / "project")
    (folder / "runs").mkdir()
    mount_or_skip("-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder / "runs"))
    yield folder
    subprocess.run(["umount", str(folder / "runs")], check=True)  # noqa: S607


def test_full_disk(small_disk: Path, undisturbed, cli: deploying.Cli) -> None:
    """It fills up at the index, then in training, and is then large enough."""
    for size in ("300k", "64m"):
        assert_one_line(cli.run(small_disk), 2, ("runs", "disk is full", "free", "runs --prune"))
        resize = ["mount", "-o", f"remount,size={size}", str(small_disk / "runs")]
        subprocess.run(resize, check=True)
        deploying.assert_sound(small_disk)
    report = deploying.deploy(small_disk, cli)
    assert deploying.essence(report) == deploying.essence(undisturbed.report)
    assert deploying.epochs(small_disk) <= undisturbed.epochs + 1
    deploying.assert_sound(small_disk)


# Interrupted


def test_interrupted_and_resumed(tmp_path: Path, undisturbed, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    started = cli.start(folder)
    done = None
    while deploying.epochs(folder) < 2 and done is None:
        done = started.wait(0.01)
    assert done is None
    os.kill(started.pid, signal.SIGINT)
    done = started.wait()
    assert done is not None
    assert_one_line(done, 130, ("interrupted", "run the same command again to resume"))
    report = deploying.deploy(folder, cli)
    assert deploying.essence(report) == deploying.essence(undisturbed.report)
    assert deploying.epochs(folder) <= undisturbed.epochs + 1
