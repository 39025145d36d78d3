"""The agent's TensorRT calls against what the published bindings of each release have."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tensorrt_calls import Calls
from tensorrt_recording import API, VERSIONS

from edgecompress.bundled import agent_dir

BEFORE_8_5 = "tensorrt_bindings.py"
"""Imported only where an engine has no num_io_tensors."""
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "run_tensorrt.py"
FILES = [file for file in sorted(agent_dir().glob("*.py")) if "trt." in file.read_text()]
FILES.append(EXAMPLE)
SCRIPT = ROOT / "scripts" / "tensorrt-stubs.py"


def described(version: str) -> dict:
    return json.loads((API / f"{version}.json").read_text())


def runs(file: Path, version: str) -> bool:
    return file.name != BEFORE_8_5 or "num_bindings" in described(version)["classes"]["ICudaEngine"]


PAIRS = [(file, version) for file in FILES for version in VERSIONS if runs(file, version)]


@pytest.mark.parametrize(
    ("file", "version"), PAIRS, ids=lambda value: getattr(value, "name", value)
)
def test_every_use_exists_in_the_release(file, version):
    assert Calls(described(version), file.read_text()).faults == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "builder_python.py",
            {
                *("Builder.create_network", "Builder.build_serialized_network"),
                *("OnnxParser.parse_from_file", "OnnxParser.get_error", "ParserError.desc"),
                *("IBuilderConfig.set_flag", "IBuilderConfig.set_timing_cache"),
                *("BuilderFlag.INT8", "BuilderFlag.FP16", "BuilderFlag.SPARSE_WEIGHTS"),
                *("IOptimizationProfile.set_shape", "ITimingCache.serialize", "ITensor.shape"),
            },
        ),
        (
            "run_tensorrt.py",
            {
                *("Runtime.deserialize_cuda_engine", "ICudaEngine.get_tensor_dtype"),
                *("IExecutionContext.set_tensor_address", "IExecutionContext.execute_async_v3"),
            },
        ),
        (
            "tensorrt_names.py",
            {"IExecutionContext.execute_async_v3", "ICudaEngine.get_tensor_profile_shape"},
        ),
        (
            "tensorrt_bindings.py",
            {"IExecutionContext.execute_async_v2", "ICudaEngine.get_binding_dtype"},
        ),
        (
            "runner_tensorrt.py",
            {"Runtime.deserialize_cuda_engine", "EngineInspector.get_engine_information"},
        ),
        ("tensorrt_log.py", {"ILogger.__init__", "Severity.ERROR"}),
    ],
)
def test_the_uses_are_seen(name, expected):
    file = next(each for each in FILES if each.name == name)
    seen = Calls(described("8.6.1"), file.read_text()).seen
    assert expected <= seen


@pytest.mark.parametrize(
    ("name", "line", "broken", "faulty"),
    [
        # A flag without its guard is missed by the releases that have lost it, and by no other.
        (
            "builder_python.py",
            'not typed and hasattr(trt.BuilderFlag, "INT8")',
            "not typed",
            {"11.4.0.106"},
        ),
        (
            "builder_python.py",
            'if hasattr(error, "node_name") and hasattr(error, "node_operator"):',
            "if error:",
            {"8.6.1"},
        ),
        ("builder_python.py", "ignore_mismatch=False", "ignore=False", set(VERSIONS)),
        ("builder_python.py", "error.desc()", "error.description()", set(VERSIONS)),
        ("builder_python.py", "config.profiling_verbosity =", "config.verbosity =", set(VERSIONS)),
        ("tensorrt_names.py", "stream_handle=stream", "stream, 0", set(VERSIONS)),
        ("tensorrt_names.py", "execute_async_v3", "execute_async_v2", set(VERSIONS)),
        ("runner_tensorrt.py", "InformationFormat.JSON", "InformationFormat.XML", set(VERSIONS)),
        ("runner_tensorrt.py", "trt.Runtime(", "trt.Loader(", set(VERSIONS)),
        ("tensorrt_io.py", "dims[index]", "dims.values()", set(VERSIONS)),
    ],
)
def test_what_does_not_exist_is_found(name, line, broken, faulty):
    source = (agent_dir() / name).read_text()
    assert line in source
    changed = source.replace(line, broken)
    found = {version for version in VERSIONS if Calls(described(version), changed).faults}
    assert found == faulty


@pytest.mark.slow
def test_the_real_bindings_agree():
    """mypy against stubs of the real extension modules, and the descriptions read from them."""
    folder = os.environ.get("EDGECOMPRESS_TENSORRT_BINDINGS")
    if not folder:
        pytest.skip("EDGECOMPRESS_TENSORRT_BINDINGS names no folder of scripts/tensorrt-stubs.py")
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r": mypy on \d\d files: 0 faults$", done.stdout, re.M)) == len(VERSIONS)
