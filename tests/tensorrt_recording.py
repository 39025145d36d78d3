"""The recordings of TensorRT and CUDA (tests/agent/recording), for a process of the agent."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "agent" / "recording"
API = Path(__file__).parent / "agent" / "tensorrt_api"
VERSIONS = ("8.6.1", "10.3.0", "10.13.3.9", "11.4.0.106")
NAMED = ("num_io_tensors", "get_tensor_name", "get_tensor_shape", "get_tensor_mode")
BEFORE_8_5 = ",".join(f"ICudaEngine.{name}" for name in NAMED)
"""Hidden from 8.6.1, leave what 8.4 had: bindings only."""


SCRATCH = tempfile.TemporaryDirectory(prefix="edgecompress-cudart-")
"""Goes with the process."""


@functools.cache
def cudart() -> Path:
    """Folder with the recording as libcudart.so; skips the test where there is no compiler."""
    gcc = shutil.which("gcc") or shutil.which("cc")
    if gcc is None:
        pytest.skip("no C compiler for the recording of libcudart")
    folder = Path(SCRATCH.name)
    library = folder / "libcudart.so"
    subprocess.run([gcc, "-shared", "-fPIC", "-o", library, FOLDER / "libcudart.c"], check=True)
    return folder


def cuda_environment(log: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(cudart()), "RECORDING_LOG": str(log)}


def environment(log: Path, version: str, **settings: str) -> dict[str, str]:
    """The environment of a process that finds both; `settings`: RECORDING_<NAME> of either."""
    paths = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **cuda_environment(log),
        "PYTHONPATH": os.pathsep.join(paths),
        "RECORDING_API": str(API / f"{version}.json"),
        **{f"RECORDING_{name.upper()}": value for name, value in settings.items()},
    }
