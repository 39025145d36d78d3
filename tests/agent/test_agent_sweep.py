"""Many files in one process of the real agent; and its rounds, in a clock that stands still but
for what a file takes.
"""

import importlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_files
import pytest

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
    assert min(by_name["large"]["rounds_ms"]) > 0
    assert min(by_name["small"]["rounds_ms"]) > 0
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


CALLS = 2 + 2
"""In a round of no time at all: to warm up, and the fewest that are timed."""


@pytest.fixture
def swept(pyz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """swept(a=[1.0, 2.0]): the milliseconds of each round, of files that take so long in each."""
    monkeypatch.syspath_prepend(str(pyz))
    sweep = importlib.import_module("edgecompress_agent.sweep")
    request = importlib.import_module("edgecompress_agent.request").Request
    now_ns = 0

    def run(**ms: list[float]) -> dict[str, list[float]]:
        class Known:
            versions = notes = activate = deactivate = lambda _: {}
            check = staticmethod(lambda _: None)

            def __init__(self, path: str, *_: object) -> None:
                self.ms = ms[Path(path).name]

            def cycled(self, _: object) -> Iterator[Callable[[], None]]:
                return (lambda call=call: self.take(call // CALLS) for call in itertools.count())

            def take(self, number: int) -> None:
                nonlocal now_ns
                now_ns += round(self.ms[number] * 1e6)

        monkeypatch.setattr(sweep, "runner_class", lambda _: Known)
        for name in ms:
            (tmp_path / name).write_text(name)
        asked = {
            "schema_version": 1,
            "threads": 1,
            "moment_s": 0,
            "longest_s": 60.0,
            "rounds": 2,
            "most_rounds": 3,
            "files": {name: str(tmp_path / name) for name in ms},
            "inputs": dict.fromkeys(ms, "none"),
        }
        found = sweep.run(request(json.dumps(asked).encode()))
        return {one["name"]: one["rounds_ms"] for one in found["files"]}

    monkeypatch.setattr(
        sweep, "time", SimpleNamespace(perf_counter_ns=lambda: now_ns, monotonic=lambda: 0.0)
    )
    monkeypatch.setattr(sweep, "gc", SimpleNamespace(collect=lambda: 0, disable=lambda: None))
    monkeypatch.setattr(sweep, "read_feeds", lambda *_: [])
    return run


def test_what_a_file_takes_is_told_of_it_and_what_is_settled_ends(swept: Any) -> None:
    assert swept(b=[0.25, 0.25], a=[4.0, 4.0]) == {"a": [4.0, 4.0], "b": [0.25, 0.25]}


def test_what_was_fast_once_only_goes_on(swept: Any) -> None:
    assert swept(a=[4.0, 2.0, 3.0]) == {"a": [4.0, 2.0, 3.0]}
