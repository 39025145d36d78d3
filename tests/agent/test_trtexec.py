"""trtexec where Python has no TensorRT: its options by release, its logs as boards printed them."""

import os
import sys
from pathlib import Path

import onnx_files
import pytest
from tensorrt_recording import cuda_environment

LOGS = Path(__file__).parent / "logs"
NO_SITE_PACKAGES = ("-S",)
FLAGS = {
    "fp16": True,
    "sparse_weights": True,
    "strongly_typed": True,
    "workspace_bytes": 1 << 30,
}
PASSED = "&&&& PASSED TensorRT.trtexec [TensorRT v100300] # trtexec\n"


@pytest.mark.parametrize(
    ("log", "version", "passed", "error", "warnings"),
    [
        ("trtexec_orin_v100300_nodatatransfers", "10.3.0", True, None, 0),
        ("trtexec_xavier_v8502_profile_no_e2e", "8.5.2", True, None, 0),
        ("trtexec_v8401_unstable_enqueue_bound", "8.4.1", True, None, 4),
        ("trtexec_agx_orin_igev_partial_no_banner", None, False, None, 0),
        (
            "trtexec_failed_v8205_int8weights",
            "8.2.5",
            False,
            "Error[3]: onnx::QuantizeLinear_429: invalid weights type of Int8",
            0,
        ),
        (
            "trtexec_failed_v101300_b35_missing_file",
            "10.13.0",
            False,
            "Error[3]: In node -1 with name:  and operator:  (parseFromFile): INVALID_VALUE",
            0,
        ),
        ("trt_build_orin_nx_tactic_memory_warnings", None, False, None, 4),
    ],
)
def test_a_log_is_read(agent_module, log, version, passed, error, warnings):
    said = agent_module("builder_trtexec").read_log((LOGS / f"{log}.log").read_text())
    assert (said.version, said.passed, len(said.warnings)) == (version, passed, warnings)
    assert (said.errors[0] if said.errors else None) == error or said.errors[0].startswith(error)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            (
                "[1] [E] [TRT] ModelImporter.cpp:949: While parsing node number 146 [Tile]:",
                "[1] [E] [TRT] ModelImporter.cpp:954: ERROR: ModelImporter.cpp:195 In parseNode:",
                "[6] Invalid Node - /Tile",
                "ITensor::getDimensions: Error Code 4: Internal Error (/OneHot)",
                "[1] [E] Failed to parse onnx file",
                "&&&& FAILED TensorRT.trtexec [TensorRT v100300] # trtexec",
            ),
            "ITensor::getDimensions: Error Code 4: Internal Error (/OneHot)",
        ),
        (
            (
                "ERROR: onnx2trt_utils.hpp:347 In function convert_axis:",
                "[8] Assertion failed: axis >= 0",
                "[1] [E] Failed to parse onnx file",
            ),
            "[8] Assertion failed: axis >= 0",
        ),
        (("[1] [E] Failed to parse onnx file",), "Failed to parse onnx file"),
        (("[1] [I] fine",), None),
    ],
)
def test_the_reason_of_a_failure(agent_module, lines, reason):
    assert agent_module("builder_trtexec").read_log("\n".join(lines) + "\n").reason == reason


def test_kernels_passed_over_are_counted(agent_module):
    log = (LOGS / "trt_build_orin_nx_tactic_memory_warnings.log").read_text()
    warnings = agent_module("builder_trtexec").read_log(log).warnings
    notes = agent_module("builders").memory_notes(warnings)
    assert notes == ["2 kernels were passed over for lack of device memory"]


@pytest.mark.parametrize(
    ("version", "quantized", "changes", "expected"),
    [
        ("8.5.2", True, {}, "--workspace=1024 --buildOnly --int8 --fp16 --sparsity=enable"),
        ("8.6.2", False, {"fp16": False}, "--workspace=1024 --buildOnly --sparsity=enable"),
        (
            "10.3.0",
            True,
            {},
            "--memPoolSize=workspace:1024 --skipInference --stronglyTyped --sparsity=enable",
        ),
        (
            "10.3.0",
            True,
            {"strongly_typed": False},
            "--memPoolSize=workspace:1024 --skipInference --int8 --fp16 --sparsity=enable",
        ),
        ("11.4.0", True, {}, "--memPoolSize=workspace:1024 --skipInference --sparsity=enable"),
        (
            "11.4.0",
            True,
            {"strongly_typed": False, "sparse_weights": False, "workspace_bytes": 1},
            "--memPoolSize=workspace:1 --skipInference",
        ),
    ],
)
def test_options_are_those_of_the_release(agent_module, version, quantized, changes, expected):
    builders = agent_module("builders")
    flags = builders.Flags(**{**FLAGS, **changes})
    shapes = {"x": [1, 3, 32, 32], "y": [1, 2]}
    job = builders.Job("m.onnx", quantized, shapes, flags, "m.engine", "t.cache")
    options = agent_module("builder_trtexec").arguments(job, version, "e.part", "t.part")
    assert options == [
        "--onnx=m.onnx",
        "--saveEngine=e.part",
        "--timingCacheFile=t.part",
        "--profilingVerbosity=detailed",
        *expected.split(),
        "--shapes=x:1x3x32x32,y:1x2",
    ]


@pytest.fixture
def build(ask, tmp_path):
    """build(log, engine, code): with a trtexec that prints that log and writes that engine."""
    model = tmp_path / "model.onnx"
    onnx_files.linear(model, features=8, classes=3)

    def run(log: str, engine: str = "RECORDING", code: int = 0, version: str = "v100300"):
        (tmp_path / "said.log").write_text(log)
        program = tmp_path / "bin" / "trtexec"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"""#!{sys.executable}
import sys
from pathlib import Path
print("&&&& RUNNING TensorRT.trtexec [TensorRT {version}] # trtexec")
options = dict(o.partition("=")[::2] for o in sys.argv[1:])
if "--help" in options:
    sys.exit()
print(Path("{tmp_path}/said.log").read_text())
Path("{tmp_path}/argv").write_text("\\n".join(sys.argv[1:]))
Path(options["--saveEngine"]).write_text("{engine}")
timings = Path(options["--timingCacheFile"])
timings.write_text((timings.read_text() if timings.is_file() else "") + "timed ")
sys.exit({code})
"""
        )
        program.chmod(0o755)
        env = cuda_environment(tmp_path / "calls.log")
        env["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        fields = {
            "model": str(model),
            "cache": str(tmp_path / "cache"),
            "timing_cache": str(tmp_path / "timing.cache"),
            "shapes": {"x": [1, 8]},
            **FLAGS,
        }
        return ask("build", NO_SITE_PACKAGES, env, **fields)

    return run


def test_trtexec_builds_where_python_cannot(build, tmp_path):
    built = build(PASSED).result
    assert (built["how"], built["built_with"], built["reused"]) == ("trtexec", "10.3.0", False)
    assert Path(built["engine"]).read_text() == "RECORDING"
    assert "this Python has no tensorrt" in built["notes"][0]
    assert f"--onnx={tmp_path / 'model.onnx'}" in (tmp_path / "argv").read_text()
    assert (tmp_path / "timing.cache").read_text() == "timed "

    again = build(PASSED).result
    assert again["reused"] is True
    assert again["notes"] == built["notes"]

    Path(built["engine"]).write_text("changed")
    assert build(PASSED).result["reused"] is False
    assert (tmp_path / "timing.cache").read_text() == "timed timed "


@pytest.mark.parametrize(
    ("log", "fields", "kind", "expected"),
    [
        (
            "trtexec_failed_v8205_int8weights",
            {"version": "v8205", "code": 1},
            "input",
            "trtexec of TensorRT 8.2.5: Error[3]: onnx::QuantizeLinear_429: invalid weights",
        ),
        ("trtexec_failed_v8205_int8weights", {"code": 0}, "input", "invalid weights type of Int8"),
        ("trtexec_agx_orin_igev_partial_no_banner", {}, "runtime", "without '&&&& PASSED'"),
        ("trtexec_orin_v100300_nodatatransfers", {"engine": ""}, "runtime", "wrote no engine"),
        ("trtexec_orin_v100300_nodatatransfers", {"code": 3}, "runtime", "(exit code 3)"),
    ],
)
def test_a_failed_run_is_no_success(build, tmp_path, log, fields, kind, expected):
    said, message = build((LOGS / f"{log}.log").read_text(), **fields).error
    assert said == kind
    assert expected in message
    assert "\n" not in message
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "timing.cache").exists()


def test_a_program_that_is_not_trtexec(build):
    kind, message = build(PASSED, version="of another kind").error
    assert kind == "runtime"
    assert "--help prints no '&&&& .. [TensorRT v..]' line" in message


def test_without_tensorrt_one_line_says_what_is_missing(ask, tmp_path):
    model = tmp_path / "model.onnx"
    onnx_files.linear(model, features=8, classes=3)
    fields = {"model": str(model), "cache": str(tmp_path), "shapes": {}, **FLAGS}
    env = {"PATH": "/nowhere"}
    timing_cache = str(tmp_path / "timing.cache")
    kind, message = ask("build", NO_SITE_PACKAGES, env, timing_cache=timing_cache, **fields).error
    assert kind == "missing"
    assert "No module named 'tensorrt', and no trtexec on PATH or in /usr/src/tensorrt" in message
    assert "sudo apt install nvidia-jetpack" in message


def test_without_python_tensorrt_an_engine_does_not_run(ask, tmp_path):
    empty = tmp_path / "tensorrt.py"
    empty.write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    kind, message = ask(
        "infer",
        env={"PYTHONPATH": str(tmp_path)},
        **{"runtime": "tensorrt", "threads": 1, "batch": 1},
        model="m.engine",
        inputs="x.npz",
        outputs="y.npz",
        kernels="default",
    ).error
    assert kind == "missing"
    assert "libnvinfer.so.10: cannot open shared object file" in message
    assert "JetPack" in message
