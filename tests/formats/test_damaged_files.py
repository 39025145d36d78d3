"""Damaged model files: whatever is wrong with one, the answer is right or is one line.

Some of what `python benchmarks/damaged_files.py` tries by the hundred thousand.
"""

import sys
from pathlib import Path

from onnx_models import MACHINE, RUNTIME, residual_net

from edgecompress.errors import EdgecompressError
from edgecompress.measure.tensors import random_inputs
from edgecompress.pipeline.formats import describe_file
from edgecompress.runtimes import formats
from edgecompress.runtimes.litert.inspect import inspect_tflite
from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx
from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt

PATH = list(sys.path)
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
try:
    from damaged_bytes import damaged
    from damaged_models import make
finally:
    sys.path[:] = PATH

COUNT = 1800


def look(path: Path, running: Path | None, draw: int) -> None:
    """All that reads a user's file here, without a runtime."""
    artifact = describe_file(path)
    if path.suffix == ".tflite":
        delegate = (None, "xnnpack", "nnapi", "gpu")[draw % 4]
        inspect_tflite(path, "litert", MACHINE, delegate, 30)
    elif draw % 3:
        inspect_tensorrt(path, (8, 5) if draw % 2 else (10, 3))
    else:
        inspect_onnx(path, path if running is None else running, RUNTIME, MACHINE)
    random_inputs(artifact, seed=0)
    formats()[artifact.format][0].expose(artifact, path.with_name(f"exposed{path.suffix}"))


def test_damaged_files_are_read_or_refused(tmp_path):
    contents = make(tmp_path)
    running = tmp_path / "running.onnx"
    running.write_bytes(contents["after_optimisation.onnx"])
    kinds, refusals = list(contents), []
    for seed in range(COUNT):
        kind = kinds[seed % len(kinds)]
        path = tmp_path / f"damaged{Path(kind).suffix}"
        mutation, content = damaged(contents[kind], path.suffix, seed)
        path.write_bytes(content)
        try:
            look(path, running if kind == "qdq.onnx" else None, seed // len(kinds))
        except EdgecompressError as error:
            refusals.append((str(error), seed, kind, mutation))
    assert COUNT // 2 < len(refusals) < COUNT
    assert not [refusal for refusal in refusals if "\n" in refusal[0]]


def test_the_damage_is_the_same_every_time(tmp_path):
    content = residual_net(1).save(tmp_path / "m.onnx").read_bytes()
    assert [damaged(content, ".onnx", seed) for seed in range(50)] == [
        damaged(content, ".onnx", seed) for seed in range(50)
    ]
