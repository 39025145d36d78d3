"""The command line as a user meets it: real processes, exit codes, what goes where."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgecompress.cli import tables
from edgecompress.devices.training import training_here
from edgecompress.spec.health import UNMEASURED, Health, Problem, TargetHealth, TrainingHealth
from edgecompress.spec.load import list_targets, load_target

COMMANDS = (
    "deploy",
    "targets",
    "devices",
    "inspect",
    "evaluate",
    "measure",
    "runs",
    "report",
    "init",
    "doctor",
)
HEAVY = ("torch", "torchao", "onnx", "onnxruntime", "numpy", "matplotlib", "pydantic", "yaml")


def run(
    *arguments: str, folder: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgecompress", *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """stdout as the one JSON document that it must be."""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    script = (
        "import sys; sys.argv = ['edgecompress', *sys.argv[1:]]\n"
        "from edgecompress.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('loaded:', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "loaded: []\n"
    assert done.stdout


def test_importing_edgecompress_imports_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys, edgecompress\n"
        "assert 'torch' not in sys.modules\n"
        "assert edgecompress.Task.__name__ == 'Task'\n"
        "assert issubclass(edgecompress.ClassificationTask, edgecompress.Task)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_deploy_from_python_raises_what_the_command_prints(tmp_path: Path) -> None:
    script = (
        "import edgecompress\n"
        "from edgecompress.errors import SpecError\n"
        "try: edgecompress.deploy('deploy.yaml', 'local')\n"
        "except SpecError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.check_output(command, cwd=tmp_path, text=True)
    assert printed == "deploy.yaml: no such file; write one with: edgecompress init\n"


def test_help_names_every_command_and_exit_code(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n    {code} " in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]  # no summary is cut


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'; see edgecompress --help"),
        (["deploy"], "deploy: name at least one target, or give --all, not both"),
        (["targets", "show"], "Missing argument 'name'; see edgecompress --help"),
        (["deploy", "local", "--nope"], "No such option: --nope; see edgecompress --help"),
        (["runs", "--keep", "-1"], "Invalid value for '--keep'"),
        (["inspect", "x.onnx", "--require-int8", "95"], "Invalid value for '--require-int8'"),
        (["targets", "show", "locl"], "target 'locl' is unknown; did you mean 'local'? known: "),
        (["deploy", "local"], "deploy.yaml: no such file; write one with: edgecompress init"),
        (["report", "latest"], "runs: no runs there; deploy first, or name them with --runs"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_with_json_an_error_is_the_document(tmp_path: Path) -> None:
    done = run("targets", "show", "locl", "--json", folder=tmp_path)
    error = document(done)["error"]
    assert (error["kind"], error["exit_code"]) == ("SpecError", 2)
    assert done.stderr == f"error: {error['message']}\n"
    assert done.returncode == 2


def test_with_json_a_usage_error_is_the_document_too(tmp_path: Path) -> None:
    done = run("targets", "show", "--json", folder=tmp_path)
    assert document(done)["error"] == {
        "message": "Missing argument 'name'; see edgecompress --help",
        "kind": "UsageError",
        "exit_code": 2,
    }


def test_targets(tmp_path: Path) -> None:
    listed = document(run("targets", "list", "--json", folder=tmp_path))["targets"]
    assert listed == [target.model_dump(mode="json") for target in list_targets()]
    shown = document(run("targets", "show", "local-onnxruntime", "--json", folder=tmp_path))
    assert shown in listed
    assert "raspberry-pi-5" in run("targets", "list", folder=tmp_path).stdout
    assert "uint8 affine" in run("targets", "show", "local-onnxruntime", folder=tmp_path).stdout


def test_targets_of_ones_own_lie_beside_deploy_yaml(tmp_path: Path) -> None:
    text = json.dumps({**list_targets()[0].model_dump(mode="json"), "name": "my-board"})
    (tmp_path / "project" / "targets").mkdir(parents=True)
    (tmp_path / "project" / "targets" / "my-board.yaml").write_text(text)
    done = run("targets", "show", "my-board", "-c", "project/deploy.yaml", folder=tmp_path)
    assert "my-board" in done.stdout
    assert run("targets", "show", "my-board", folder=tmp_path).returncode == 2


def test_runs_in_an_empty_folder(tmp_path: Path) -> None:
    assert document(run("runs", "--json", folder=tmp_path)) == {"runs": []}
    assert (
        run("runs", folder=tmp_path).stdout
        == "runs: no runs yet; next: edgecompress deploy TARGET\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_doctor_knows_this_machine(tmp_path: Path) -> None:
    done = run("doctor", "--json", folder=tmp_path)
    assert done.returncode == 0
    health = document(done)
    assert health["problems"] == []
    assert health["packages"]["torch"].startswith("2.")
    assert [t["name"] for t in health["targets"]] == [t.name for t in list_targets()]


def test_doctor_says_what_is_missing_once_and_by_board() -> None:
    gone = Problem(text="litert-torch is missing", fix="pip install 'edgecompress[litert]'")
    health = Health(
        python="3.11.2",
        machine="x86_64",
        cpu_model=None,
        int8_features=(),
        governor=None,
        cuda=None,
        packages={},
        problems=(),
        targets=(
            TargetHealth(name="pi", board="pi", problems=(), notes=(UNMEASURED,)),
            TargetHealth(name="pi-litert", board="pi", problems=(gone,), notes=(UNMEASURED,)),
            TargetHealth(name="phone", board="phone", problems=(gone,), notes=(UNMEASURED,)),
        ),
    )
    console = Console(file=StringIO(), width=100)
    tables.health(health, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("litert-torch is missing (for pi-litert, phone)") == 1
    assert text.count("edgecompress[litert]") == 1
    row = next(line for line in text.splitlines() if line.strip().startswith("pi "))
    assert "pi, pi-litert (not usable here)" in row


def test_doctor_says_what_is_trained_on(tmp_path: Path) -> None:
    """As a launcher would start it, but for the connection, which `doctor` alone does not need."""
    folder = Path(tmp_path)
    alone = training_here(folder)
    assert (alone.processes, alone.accelerate) == (1, version("accelerate"))
    if not any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        cpuinfo = Path("/proc/cpuinfo")
        has_amx = cpuinfo.is_file() and "amx_bf16" in cpuinfo.read_text()
        assert alone.hardware == ("cpu, bfloat16" if has_amx else "cpu, float32")
    for accelerate, processes, wanted in (
        (None, 1, "in one process; several: pip install 'edgecompress[distributed]'"),
        ("1.15.0", 1, "in one process; several: accelerate launch"),
        ("1.15.0", 4, "in 4 processes"),
    ):
        found = TrainingHealth(hardware="cpu, float32", processes=processes, accelerate=accelerate)
        assert tables._training(found) == f"on cpu, float32, {wanted}"


def test_doctor_loads_nothing_heavy_unless_asked(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['edgecompress', 'doctor', '--json']\n"
        "from edgecompress.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = ('torch', 'onnx', 'onnxruntime', 'matplotlib')\n"
        "print('loaded:', [m for m in heavy if m in sys.modules], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stderr


def test_doctor_tries_what_is_installed_when_asked(tmp_path: Path) -> None:
    broken = tmp_path / "torchao"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('no symbol _ZN3c10')")
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    assert document(run("doctor", "--json", folder=tmp_path, env=env))["problems"] == []
    found = document(run("doctor", "--imports", "--json", folder=tmp_path, env=env))
    (problem,) = found["problems"]
    assert "torchao cannot be imported: ImportError: no symbol _ZN3c10" in problem["text"]


def test_doctor_of_a_target_that_is_unusable_here(tmp_path: Path) -> None:
    target = load_target("local-onnxruntime").model_dump(mode="json")
    target["name"] = "future"
    target["runtime"]["version"] = ">=99"
    (tmp_path / "future.yaml").write_text(json.dumps(target))
    done = run("doctor", "./future.yaml", "--json", folder=tmp_path)
    assert done.returncode == 4
    assert "onnxruntime" in done.stderr
    assert done.stderr.startswith("error: target './future.yaml' cannot be used here: ")
    problems = document(done)["targets"][0]["problems"]
    assert [problem["fix"] for problem in problems] == ["pip install 'onnxruntime>=99'"]


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgecompress", "targets", "list", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
