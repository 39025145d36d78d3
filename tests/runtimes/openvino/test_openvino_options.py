"""`device` and `float_dtype` of a target, as this machine's OpenVINO has them or not."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="needs openvino: pip install '.[openvino]'")

import openvino
from onnx_models import GraphBuilder

from edgecompress.devices.check import rows_of
from edgecompress.errors import AgentError, SpecError
from edgecompress.measure.loaded import Preparation
from edgecompress.pipeline import deploy, inspect_file
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.progress import SilentProgress
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.transport import connect

OPENVINO = runtime("openvino")
LOCAL = Path(__file__).parents[3] / "targets" / "local-openvino.yaml"
TINY = Path(__file__).parents[2] / "pipeline" / "tiny"
HAS = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
MISSING = next(name for name in ("NPU", "GPU") if name not in openvino.Core().available_devices)


def written(folder: Path, device: str, float_dtype: str, name: str = "mine") -> Path:
    text = LOCAL.read_text().replace("name: local-openvino", f"name: {name}")
    text = text.replace("  name: openvino\n", f"  name: openvino\n  device: {device}\n")
    path = folder / f"{name}.yaml"
    path.write_text(f"{text}float_dtype: {float_dtype}\n")
    return path


def file(folder: Path) -> Path:
    g = GraphBuilder()
    g.input("x", (1, 4))
    g.node("Relu", ["x"], "y")
    g.output("y", (1, 4))
    return g.save(folder / "m.onnx")


def test_a_target_says_both(tmp_path: Path) -> None:
    target = load_target(str(written(tmp_path, "gpu", "float16")))
    wanted = {"device": "gpu", "float_dtype": "float16"}
    assert OPENVINO.preparation(target, original=True) == Preparation("openvino", options=wanted)
    assert OPENVINO.here(target).options == wanted
    # Where another board is meant, this machine's CPU stands in for it.
    nuc = load_target("intel-nuc").model_copy(update={"runtime": target.runtime})
    assert OPENVINO.options(nuc)["device"] == "gpu"
    assert OPENVINO.here(nuc).options == {}
    assert OPENVINO.options(load_target("local-openvino")) == {}


@pytest.mark.parametrize(("device", "dtype"), [("tpu", "float32"), ("cpu", "float8")])
def test_others_are_refused_when_the_target_is_read(
    tmp_path: Path, device: str, dtype: str
) -> None:
    with pytest.raises(SpecError):
        load_target(str(written(tmp_path, device, dtype)))


def test_a_device_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    target = written(tmp_path, MISSING.lower(), "float16")
    with pytest.raises(AgentError, match=f"finds no {MISSING} here, only CPU"):
        inspect_file(file(tmp_path), str(target))


@pytest.mark.skipif("BF16" in HAS, reason="this CPU has bfloat16")
def test_a_type_that_the_device_lacks_is_refused_and_not_replaced(tmp_path: Path) -> None:
    """OpenVINO itself would take the hint, and compute in float32."""
    target = written(tmp_path, "cpu", "bfloat16")
    with pytest.raises(AgentError, match="does not compute in bfloat16, but in float32"):
        inspect_file(file(tmp_path), str(target))


@pytest.mark.skipif("BF16" not in HAS, reason="this CPU has no bfloat16")
def test_the_inspection_says_bfloat16(tmp_path: Path) -> None:
    found = inspect_file(file(tmp_path), str(written(tmp_path, "cpu", "bfloat16")))
    assert found.runtime.endswith("(CPU, bfloat16)")


def test_the_inspection_says_who_computes_and_in_what(tmp_path: Path) -> None:
    assert inspect_file(file(tmp_path), "local-openvino").runtime.endswith(" (CPU, float32)")


def test_a_deploy_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "tiny")
    target = written(tmp_path / "tiny" / "targets", MISSING.lower(), "float16")
    with pytest.raises(AgentError, match=f"finds no {MISSING} here"):
        deploy(tmp_path / "tiny" / "deploy.yaml", target.stem, progress=SilentProgress())
    # Only the agent has worked; a stage would have a folder there.
    assert [x.name for x in (tmp_path / "tiny" / "runs" / "work").iterdir()] == ["agent"]


def test_devices_check_has_a_line_of_it(tmp_path: Path) -> None:
    """For every device the same: what the runtime there says."""
    target = load_target(str(written(tmp_path, MISSING.lower(), "float16")))
    with connect(HERE, tmp_path / "there") as transport:
        rows = rows_of(transport, HERE, target)
        plain = rows_of(transport, HERE, load_target("local-openvino"))
    (row,) = (row for row in rows if row.name == "options")
    assert row.state == "missing"
    assert f"finds no {MISSING} here, only CPU" in row.text
    assert "options" not in {row.name for row in plain}


def test_a_runtime_refuses_options_that_it_does_not_know(tmp_path: Path) -> None:
    agent = agent_on(HERE, tmp_path)
    with pytest.raises(Exception, match="options device are unknown; known: none"):
        agent.check(Preparation("onnxruntime", options={"device": "gpu"}))
