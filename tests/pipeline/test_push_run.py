"""From a finished run to a device with the real agent, which behaves, or misbehaves in one way."""

import json
from pathlib import Path

import deploying
import misbehaving
import pytest
from pushed_project import Project
from pushing import opened
from sshd import needs_sshd, ssh_device

from edgecompress.spec.device import Device

TIGHT = "tight.yaml"
"""The project's deploy.yaml with a budget that nothing can keep."""


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory, cli: deploying.Cli) -> Project:
    made = Project.of(finished, tmp_path_factory.mktemp("push") / "project", cli)
    wanted = (made.folder / "deploy.yaml").read_text()
    (made.folder / TIGHT).write_text(
        wanted.replace("budgets: {", "budgets: {latency_ms_p50: 0.00001, ")
    )
    return made


BAD = {
    "wrong_outputs": (3, "golden outputs differ by"),
    "no_numbers": (3, "output 0 is not finite"),
    "wrong_later": (3, "at most 0.5 worse allowed"),
    "dies_loading": (4, "died of SIGKILL (out of memory?)"),
    "hangs": (4, "ran longer than 5 s"),
    "other_hash": (4, "the agent ran a file of sha256"),
    "garbage": (4, "no answer in JSON"),
    "endless": (4, "more than 8,388,608 bytes come of it"),
}
"""What the board does to the exit code, and words of the reason."""


@pytest.mark.parametrize("case", BAD)
def test_the_old_model_stays_when_the_board(project: Project, case: str) -> None:
    code, words = BAD[case]
    root = project.local(case.replace("_", "-"), misbehaving.script(project.folder, case))
    limit = ("--deadline", "5") if case == "hangs" else ()
    _refused(project, root, ("push", "latest", root.name, *limit), code, words)


def test_the_old_model_stays_when_the_new_one_is_over_budget(project: Project) -> None:
    root = project.local("slow")
    _refused(project, root, ("push", "latest", "slow", "-c", TIGHT), 3, "latency p50 is")


def _refused(
    project: Project, root: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    old = (root / "current" / "model.onnx").read_bytes()
    before = opened(root)
    (pushed,) = project.document(*arguments, code=code)["devices"]
    assert (pushed["outcome"], pushed["active"]) == ("rolled_back", before)
    assert pushed["refused"] == (code == 3)
    (reason,) = pushed["reasons"]
    assert words in reason
    assert "\n" not in reason
    assert opened(root) == before
    assert (root / "current" / "model.onnx").read_bytes() == old
    entry = json.loads((root / "history.json").read_text())["entries"][-1]
    assert (entry["outcome"], entry["release"]) == ("rolled_back", pushed["release"])
    assert entry["reason"] == reason[:500]


def test_validate_activate_rollback(project: Project) -> None:
    root = project.local("good")
    old = opened(root)
    (pushed,) = project.document("validate", "latest", "good")["devices"]
    new = pushed["release"]
    assert (pushed["outcome"], pushed["active"], opened(root)) == ("success", old, old)
    assert pushed["sent_bytes"] == (project.run_folder / "model.onnx").stat().st_size
    found = pushed["validation"]
    assert found["value"] == found["value_here"] > 0.9
    assert found["low"] < found["value"] <= found["high"]
    assert found["golden"]["samples"] == 8
    assert found["parity"]["samples"] == 256
    assert found["latency_ms_p50"] > 0

    (pushed,) = project.document("activate", "good", new)["devices"]
    assert (pushed["active"], opened(root)) == (new, new)
    current = root / "current" / "model.onnx"
    assert current.read_bytes() == (project.run_folder / "model.onnx").read_bytes()

    (pushed,) = project.document("rollback", "good")["devices"]
    assert (pushed["active"], opened(root)) == (old, old)

    (pushed,) = project.document("push", "latest", "good")["devices"]
    assert (pushed["outcome"], pushed["active"], pushed["sent_bytes"]) == ("success", new, 0)
    assert opened(root) == new
    # It is whole and was validated with the same sample and limits, so it was not run again.
    assert pushed["notes"][0].startswith("validated there on ")
    assert pushed["validation"] == found

    state = project.document("status", "good")
    assert (state["device"], state["current"], state["previous"]) == ("good", new, old)
    assert {release["id"]: release["whole"] for release in state["releases"]} == {
        old: True,
        new: True,
    }
    records = {release["id"]: release["validated"] for release in state["releases"]}
    assert records[new]["run"] == project.run_folder.name
    assert records[new]["validation"] == found
    entries = project.document("history", "good")["entries"]
    assert {entry["run"] for entry in entries if entry["release"] == new} == {records[new]["run"]}
    assert [(entry["action"], entry["release"]) for entry in entries] == [
        ("push", old),
        ("validate", new),
        ("activate", new),
        ("rollback", old),
        ("push", new),
    ]


def test_a_run_that_was_refused_is_pushed_with_a_warning(
    finished: Path, tmp_path: Path, cli: deploying.Cli
) -> None:
    project = Project.of(finished, tmp_path / "project", cli)
    root = project.local("good")
    usual = (project.folder / "deploy.yaml").read_text()
    # Nothing that the device is asked for: it has no reason to refuse.
    small = usual.replace("budgets: {", "budgets: {model_size_bytes: 1, ")
    (project.folder / "small.yaml").write_text(small)
    before = project.run_folder.name
    assert project.run("deploy", "tiny", "-c", "small.yaml").returncode == 3
    for run in (before, "latest"):
        done = project.run("push", run, "good")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert opened(root) == document["devices"][0]["release"]
        warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
        decision, (first, *_) = document["verdict"]["decision"], document["verdict"]["reasons"]
        if run == "latest" or decision == "refuse":
            (warning,) = warnings
            assert f"run {document['run']} was refused: {first.removeprefix('fail: ')}" in warning
            assert run != "latest" or "at most 1 allowed" in warning
        else:
            assert (document["run"], warnings) == (before, [])


def test_a_device_that_is_described_wrongly_stops_no_other(project: Project) -> None:
    root = project.local("beside")
    config = Path("no-such-file")
    project.add(Device(id="wrong", target="tiny", transport="ssh", address="pi", ssh_config=config))
    found = project.document("push", "latest", "wrong", "beside", code=4)["devices"]
    assert [pushed["outcome"] for pushed in found] == ["rolled_back", "success"]
    assert "no-such-file" in found[0]["reasons"][0]
    assert opened(root) == found[1]["release"]


@needs_sshd
@pytest.mark.parametrize("command", [("push", "latest", "board"), ("deploy", "tiny")])
def test_a_board_holds_nothing_of_what_was_measured_there(
    finished: Path, tmp_path: Path, cli: deploying.Cli, command: tuple[str, ...]
) -> None:
    project = Project.of(finished, tmp_path / "project", cli)
    project.add(ssh_device(tmp_path / "board", target="tiny"))
    root = tmp_path / "board" / "home" / ".edgecompress"
    (root / "work").mkdir(parents=True)
    (root / "work" / "of-somebody-who-died.npz").write_bytes(b"left")
    done = project.run(*command)
    assert done.returncode in ((0,) if command[0] == "push" else deploying.MEASURED), done.stderr
    assert [*(root / "work").iterdir()] == []
    assert [file.suffix for file in (root / "cache").iterdir()] == [".pyz"]
    # Both held the lock, and have given it back.
    locks = [json.loads(owner.read_text()) for owner in (root / "locks").glob("*/owner.json")]
    assert [lock["released"] for lock in locks] == [True]


def test_the_run_is_found_from_another_folder_and_its_file_is_looked_at(
    finished: Path, tmp_path: Path, cli: deploying.Cli
) -> None:
    project = Project.of(finished, tmp_path / "project", cli)
    root = project.local("good")
    old = opened(root)
    arguments = ("push", "latest", "good", "-c", "project/deploy.yaml", "--json")
    arguments = (*arguments, "--inventory", "project/all.yaml")
    model = project.run_folder / "model.onnx"
    right = model.read_bytes()
    model.write_bytes((project.run_folder / "baseline.onnx").read_bytes())
    done = cli.run(tmp_path, *arguments)
    assert (done.returncode, opened(root)) == (2, old)
    assert "is not the model that the run made" in json.loads(done.stdout)["error"]["message"]
    model.write_bytes(right)
    done = cli.run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert opened(root) != old


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("push", "latest", "nobody"), "device 'nobody' is unknown; known: "),
        (("status", "nobody"), "device 'nobody' is unknown; known: "),
        (("push", "latest", "stranger"), "is of target 'local', and the model is made for 'tiny'"),
        (("validate", "no-such-run", "plain"), "no-such-run"),
        (("activate", "plain", "0" * 16), "0000; see: edgecompress status plain"),
        (("rollback", "plain"), "no previous release; see: edgecompress status plain"),
        (("push", "latest", "plain", "-c", "none.yaml"), "none.yaml"),
    ],
)
def test_one_line_says_what_is_wrong(
    project: Project, arguments: tuple[str, ...], words: str
) -> None:
    if not project.devices or "plain" not in [device.id for device in project.devices]:
        project.local("plain")
        project.add(project.devices[-1].model_copy(update={"id": "stranger", "target": "local"}))
    done = project.run(*arguments)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert words in error["message"]
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {error['message']}"]
