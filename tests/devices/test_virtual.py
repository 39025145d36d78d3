"""Boards made here: what is refused before anything is fetched, and a real one."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from onnx import TensorProto, helper
from virtual_boards import built_board

from edgecompress.devices import virtual_device
from edgecompress.devices.check import check
from edgecompress.devices.debian import KEYRING
from edgecompress.devices.virtual import TOOLS
from edgecompress.errors import DeviceError, RuntimeMissing, SpecError
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.notes import is_emulated
from edgecompress.progress import SilentProgress
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_targets, load_virtual_boards
from edgecompress.transport import LocalTransport, Transport, connect

NOWHERE = "http://127.0.0.1:9/debian"


def make(target: str = "raspberry-pi-5", mirror: str | None = NOWHERE) -> Device:
    return virtual_device(target, "board", mirror, SilentProgress())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "edgecompress"


def test_every_virtual_board_is_a_target() -> None:
    for name in load_virtual_boards().boards:
        assert load_targets(name)[0].cpu.architecture == "aarch64"


def test_a_board_that_cannot_be_emulated_lists_those_that_can(cache: Path) -> None:
    with pytest.raises(SpecError, match="'jetson-agx-orin' cannot be emulated; known: raspberry-"):
        make("jetson-agx-orin")
    assert not cache.exists()


def test_programs_that_are_missing_are_named_with_their_packages(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("edgecompress.devices.tools.SYSTEM_FOLDERS", ())
    with pytest.raises(RuntimeMissing) as caught:
        make()
    assert str(caught.value) == (
        f"a virtual raspberry-pi-5: {', '.join(TOOLS)} missing; run: sudo apt install"
        " qemu-user-static openssh-server openssh-client apt dpkg"
    )


@pytest.mark.parametrize("name", ['/a "b', "relative", "/a%b", "/a\nb"])
def test_a_cache_that_configurations_cannot_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _need_tools()
    monkeypatch.setenv("XDG_CACHE_HOME", name)
    with pytest.raises(SpecError, match="set XDG_CACHE_HOME to another"):
        make()


def test_a_mirror_that_is_not_there_leaves_no_board(cache: Path) -> None:
    _need_tools()
    with pytest.raises(
        DeviceError, match=r"apt-get failed: .*127\.0\.0\.1.*; is there a network\?"
    ):
        make()
    assert sorted(file.name for file in (cache / "virtual").iterdir()) == ["debian", "lock"]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return built_board("raspberry-pi-5", tmp_path_factory)


@pytest.fixture(scope="module")
def way(board: Device, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transport]:
    with connect(board, tmp_path_factory.mktemp("unused")) as transport:
        yield transport


@pytest.mark.slow
def test_the_board_is_usable_and_says_that_it_is_emulated(board: Device) -> None:
    found = check(board, load_targets(board.target)[0])
    assert found.usable, found
    rows = {row.name: row for row in found.rows}
    assert rows["architecture"].text == "aarch64"
    assert [name for name, row in rows.items() if row.state == "warning"] == ["emulated"]


@pytest.mark.slow
def test_the_probe_alone_tells_an_emulator(board: Device, way: Transport) -> None:
    probe = Agent(way, board.interpreter).probe()
    assert (probe.machine, probe.python_bits) == ("aarch64", 64)
    assert probe.python.startswith(load_virtual_boards().python)
    assert is_emulated(probe)


@pytest.mark.slow
def test_arguments_and_input_arrive_as_they_are(board: Device, way: Transport) -> None:
    code = "import platform, sys; print(platform.machine(), sys.argv[1:], sys.stdin.read())"
    arguments = ["a b", "$HOME", "it's", "", "-0", "\n"]
    argv = [board.interpreter, "-c", code, *arguments]
    done = way.run(argv, "häuser\n".encode(), timeout_s=60)
    assert done.stdout.decode() == f"aarch64 {arguments} häuser\n\n"
    # What the interpreter starts under its own name is emulated as well.
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    done = way.run([board.interpreter, "-c", nested], timeout_s=60)
    assert done.stdout.decode() == "aarch64 [] \n"


@pytest.mark.slow
def test_int8_on_arm_agrees_with_this_machine(
    board: Device, way: Transport, tmp_path: Path
) -> None:
    model, inputs = tmp_path / "int8.onnx", tmp_path / "inputs.npz"
    _int8_convolution(model)
    values = np.random.default_rng(3).integers(-128, 128, (16, 3, 8, 8), dtype="int8")
    np.savez(inputs, x=values)
    outputs = tmp_path / "outputs.npz"

    def infer(agent: Agent) -> np.ndarray:
        agent.infer(onnx_files.loaded(model), Inference(inputs, outputs))
        with np.load(outputs) as arrays:
            return arrays["y"].astype(int)

    there = infer(Agent(way, board.interpreter))
    here = infer(Agent(LocalTransport(tmp_path / "here"), sys.executable))
    assert there.shape == (16, 4, 6, 6)
    assert len(np.unique(there)) > 50
    # Equal but for ties, which kernels may round either way.
    assert np.abs(there - here).max() <= 1
    assert (there != here).mean() < 0.01


@pytest.mark.slow
def test_a_second_board_of_the_kind_is_there_at_once(
    board: Device, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wrapper = Path(board.interpreter)
    made = wrapper.stat().st_mtime_ns
    other = built_board("raspberry-pi-5", tmp_path_factory, "other")
    assert other.python == board.python
    assert other.root != board.root
    assert wrapper.stat().st_mtime_ns == made
    assert not list(wrapper.parents[3].glob("*.part"))


def _need_tools() -> None:
    lacking = [name for name in TOOLS if shutil.which(name, path="/usr/sbin:/usr/bin:/bin") is None]
    if lacking or not KEYRING.exists():
        pytest.skip(f"{lacking or KEYRING} not installed: scripts/install-test-tools.sh")


def _int8_convolution(path: Path) -> None:
    """x [N, 3, 8, 8] int8 -> y [N, 4, 6, 6] int8; weights of 7 bits, which x86 cannot saturate."""
    weights = np.random.default_rng(1).integers(-64, 65, (4, 3, 3, 3), dtype="int8")
    bias = np.random.default_rng(2).integers(-2000, 2000, 4, dtype="int32")
    names = ["x", "x_scale", "zero", "w", "w_scale", "zero", "y_scale", "zero", "bias"]
    onnx_files.save(
        path,
        [helper.make_node("QLinearConv", names, ["y"])],
        [onnx_files.value("x", TensorProto.INT8, ["batch", 3, 8, 8])],
        [onnx_files.value("y", TensorProto.INT8, ["batch", 4, 6, 6])],
        {
            "x_scale": np.array(0.02, "float32"),
            "w_scale": np.array(0.013, "float32"),
            "y_scale": np.array(0.11, "float32"),
            "zero": np.array(0, "int8"),
            "w": weights,
            "bias": bias,
        },
    )
