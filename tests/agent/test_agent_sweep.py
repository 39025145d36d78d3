"""Many files in one process of the real agent."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_files

from edgecompress.artifact import sha256_of


def asked(folder: Path, **more: object) -> dict[str, object]:
    files, inputs = {}, {}
    for name, features in (("small", 8), ("large", 1024)):
        onnx_files.linear(folder / f"{name}.onnx", features, features)
        np.savez(folder / f"{name}.npz", x=np.ones((1, features), np.float32))
        files[name], inputs[name] = str(folder / f"{name}.onnx"), str(folder / f"{name}.npz")
    return {
        "runtime": "onnxruntime",
        "threads": 1,
        "rounds": 3,
        "most_rounds": 4,
        "moment_s": 0.002,
        "longest_s": 60.0,
        "files": files,
        "inputs": inputs,
        **more,
    }


def test_each_file_has_a_median_of_every_round(ask: Any, tmp_path: Path) -> None:
    result = ask("sweep", **asked(tmp_path)).result
    by_name = {one["name"]: one for one in result["files"]}
    assert all(len(one["rounds_ms"]) in (3, 4) for one in by_name.values())
    # 64 and a million products.
    assert min(by_name["large"]["rounds_ms"]) > min(by_name["small"]["rounds_ms"]) > 0
    for name, one in by_name.items():
        assert one["model_sha256"] == sha256_of(tmp_path / f"{name}.onnx")
    assert "onnxruntime" in result["versions"]


def test_where_the_time_is_over_it_ends_after_two_rounds(ask: Any, tmp_path: Path) -> None:
    result = ask("sweep", **asked(tmp_path, rounds=1000, most_rounds=1000, longest_s=0.0)).result
    assert [len(one["rounds_ms"]) for one in result["files"]] == [2, 2]


def test_what_is_not_there_is_named(ask: Any, tmp_path: Path) -> None:
    kind, said = ask("sweep", **asked(tmp_path, inputs={})).error
    assert (kind, "'large'" in said) == ("input", True)
    kind, said = ask("sweep", **asked(tmp_path, files={})).error
    assert (kind, said) == ("input", "files must be 1 to 4096, got 0")
