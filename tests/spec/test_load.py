"""Targets, deploy.yaml and the inventory: from files to specs."""

from pathlib import Path

import pytest

from edgecompress.bundled import targets_dir
from edgecompress.errors import SpecError
from edgecompress.spec.load import list_targets, load_deploy, load_inventory, load_target

DEPLOY = """\
task:
  path: task.py:Mine
seed: 7
quantize:
  mode: ptq
  ranges: minmax
  calibration_batches: 4
budgets:
  max_metric_drop: 1e-2
"""


def own_target(folder: Path, stem: str, name: str) -> Path:
    text = (targets_dir() / "local-onnxruntime.yaml").read_text()
    (folder / "targets").mkdir(exist_ok=True)
    path = folder / "targets" / f"{stem}.yaml"
    path.write_text(
        text.replace("name: local-onnxruntime", f"name: {name}").replace(
            "round_to: 8", "round_to: 4"
        )
    )
    return path


def test_every_bundled_target_is_valid() -> None:
    assert {"local-onnxruntime", "raspberry-pi-4-onnxruntime", "raspberry-pi-5-onnxruntime"} <= {
        t.name for t in list_targets()
    }


def test_activations_are_what_the_kernels_of_the_target_multiply() -> None:
    # facts: uint8 x int8 is what VNNI runs; Arm prefers int8 x int8.
    local = load_target("local-onnxruntime").quantization.activations
    assert (local.dtype, local.scheme) == ("uint8", "affine")
    for name in ("raspberry-pi-4-onnxruntime", "raspberry-pi-5-onnxruntime"):
        pi = load_target(name)
        assert (pi.quantization.activations.dtype, pi.cpu.architecture) == ("int8", "aarch64")


def test_an_unknown_target_lists_the_known(tmp_path: Path) -> None:
    own_target(tmp_path, "my-board", "my-board")
    with pytest.raises(SpecError) as caught:
        load_target("rasberry-pi-5", tmp_path)
    message = str(caught.value)
    assert message.startswith(
        "target 'rasberry-pi-5' is unknown; did you mean 'raspberry-pi-5'? known: android, andr"
    )
    assert ", my-board, raspberry-pi-4," in message


def test_the_users_own_target_wins_over_a_bundled_one(tmp_path: Path) -> None:
    own_target(tmp_path, "local-onnxruntime", "local-onnxruntime")
    assert load_target("local-onnxruntime").round_to == 8
    assert load_target("local-onnxruntime", tmp_path).round_to == 4
    assert [t.round_to for t in list_targets(tmp_path) if t.name == "local-onnxruntime"] == [4]


def test_a_target_by_path(tmp_path: Path) -> None:
    path = own_target(tmp_path, "my-board", "my-board")
    assert load_target(str(path)).name == "my-board"


def test_a_targets_name_must_be_its_files(tmp_path: Path) -> None:
    path = own_target(tmp_path, "mine", "other")
    with pytest.raises(SpecError) as caught:
        load_target("mine", tmp_path)
    assert str(caught.value) == (
        f"{path}: name 'other' must equal the file's name, 'mine'; change one of them"
    )


def test_deploy(tmp_path: Path) -> None:
    path = tmp_path / "deploy.yaml"
    path.write_text(DEPLOY)
    config = load_deploy(path)
    assert config.budgets.max_metric_drop == pytest.approx(0.01)
    assert config.quantize is not None
    assert config.quantize.calibration_batches == 4


def test_deploy_that_is_not_there_names_init(tmp_path: Path) -> None:
    path = tmp_path / "deploy.yaml"
    with pytest.raises(SpecError) as caught:
        load_deploy(path)
    assert str(caught.value) == f"{path}: no such file; write one with: edgecompress init"


def test_bundled_inventory_has_this_machine() -> None:
    device = load_inventory(None).for_target(load_target("local-onnxruntime"))
    assert device is not None
    assert device.transport == "local"


def test_own_devices_come_before_the_bundled_and_hide_them(tmp_path: Path) -> None:
    (tmp_path / "devices.yaml").write_text(
        "devices:\n  - {id: mine, target: local, transport: local}\n"
        "  - {id: this-machine, target: local-litert, transport: local, tags: [mine]}\n"
    )
    found = load_inventory(None, tmp_path)
    bundled = [device.id for device in load_inventory(None).devices]
    assert [device.id for device in found.devices[:2]] == ["mine", "this-machine"]
    assert sorted(device.id for device in found.devices[1:]) == sorted(bundled)
    assert found.devices[1].tags == ("mine",)
    assert load_inventory(None, tmp_path / "elsewhere") == load_inventory(None)
    assert len(load_inventory(tmp_path / "devices.yaml", tmp_path).devices) == 2


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("{id: a, target: local, transport: usb}", "devices.0.transport 'usb' is unknown; known:"),
        ("{id: a, target: local, transport: ssh}", "devices.0: transport ssh needs an address"),
        ("{id: ../up, target: local, transport: local}", "devices.0.id: '../up' must be of a-z"),
        ("{id: '', target: local, transport: local}", "devices.0.id: '' must be of a-z"),
        ("{id: é, target: local, transport: local}", "devices.0.id: 'é' must be of a-z"),
        ("{id: a, target: local, transport: ssh, address: -oProxyCommand=x}", "begins with '-'"),
        ('{id: a, target: local, transport: local, python: "a\\nb"}', "control characters"),
    ],
)
def test_inventory_errors_name_file_and_key(tmp_path: Path, device: str, problem: str) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(f"devices:\n  - {device}\n")
    with pytest.raises(SpecError) as caught:
        load_inventory(path)
    assert str(caught.value).startswith(f"{path}: devices.0")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("distill: off", "distill", "off"),
        ("distill: 'off'", "distill", "off"),
        ("train: off", "train", None),
        ("prune: off", "prune", None),
        ("finetune: off", "finetune", None),
    ],
)
def test_off_as_the_docs_write_it(tmp_path: Path, line: str, key: str, value: str | None) -> None:
    path = tmp_path / "deploy.yaml"
    path.write_text(
        f"task: {{path: task.py:T}}\nseed: 0\n{line}\n"
        "quantize: {mode: ptq, ranges: minmax, calibration_batches: 1, train: off}\n"
        "budgets: {max_metric_drop: 0.1, latency_ms_p50: off, min_int8_op_fraction: off}\n"
    )
    found = load_deploy(path)
    assert getattr(found, key) == value
    assert found.quantize is not None
    assert found.quantize.train is None
    assert found.budgets.latency_ms_p50 is None


@pytest.mark.parametrize("line", ["seed: off", "budgets: off", "distill: no", "distill: Off"])
def test_off_means_nothing_elsewhere(tmp_path: Path, line: str) -> None:
    path = tmp_path / "deploy.yaml"
    path.write_text(f"task: {{path: task.py:T}}\n{line}\n")
    with pytest.raises(SpecError, match=r"line 2: '\w+' could be text or a truth value"):
        load_deploy(path)
