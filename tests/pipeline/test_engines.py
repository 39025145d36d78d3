"""What is different where a device builds an engine of the file."""

from types import SimpleNamespace
from typing import Any

import pytest

from edgecompress.pipeline import files
from edgecompress.pipeline.measuring import measure_halfway
from edgecompress.runtimes import runtime
from edgecompress.runtimes.tensorrt import WORKSPACE_BYTES
from edgecompress.spec.device import Device
from edgecompress.spec.engine import EngineFlags
from edgecompress.spec.load import list_targets, load_target
from edgecompress.spec.target import Target

TARGETS = {target.name: target for target in list_targets()}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_an_engine_is_asked_for_where_the_runtime_builds_one(name: str) -> None:
    target = TARGETS[name]
    known = runtime(target.runtime.name)
    for original in (True, False):
        preparation = known.preparation(target, original=original)
        assert (preparation.engine is not None) == known.capabilities.builds_engine
        assert preparation.runner == known.name
    assert known.capabilities.builds_engine == (target.gpu is not None)


def flags(target: Target, *, original: bool) -> EngineFlags:
    asked = runtime("tensorrt").preparation(target, original=original).engine
    assert asked is not None
    return asked


@pytest.mark.parametrize(("sparsity", "sparse"), [(("2:4",), True), (("structured",), False)])
def test_sparse_kernels_are_allowed_where_they_help(
    sparsity: tuple[str, ...], sparse: bool
) -> None:
    target = load_target("jetson-orin-nano").model_copy(update={"sparsity": sparsity})
    baseline, candidate = flags(target, original=True), flags(target, original=False)
    # The original is built as it was trained.
    assert (baseline.sparse_weights, baseline.fp16) == (False, False)
    assert candidate.sparse_weights == sparse
    assert baseline.workspace_bytes == candidate.workspace_bytes == WORKSPACE_BYTES


@pytest.mark.parametrize(("release", "fp16"), [((8, 5), True), ((10, 0), False)])
def test_float16_is_allowed_by_flags_or_by_types(release: tuple[int, int], fp16: bool) -> None:
    target = load_target("jetson-orin-nano")
    version = ".".join(map(str, release))
    section = target.runtime.model_copy(update={"version": version})
    target = target.model_copy(update={"runtime": section, "float_dtype": "float16"})
    assert flags(target, original=False).fp16 == fp16
    assert flags(target, original=False).strongly_typed == (not fp16)
    assert not flags(target, original=True).fp16


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [("local-onnxruntime", False), ("local-litert", False), ("jetson-orin-nano", True)],
)
def test_reference_kernels_stand_in_for_what_this_machine_lacks(name: str, elsewhere: bool) -> None:
    assert files._runs_elsewhere(_job(name)) == elsewhere


@pytest.mark.parametrize(("machine", "elsewhere"), [("aarch64", False), ("x86_64", True)])
def test_another_architecture_is_elsewhere(
    machine: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.platform, "machine", lambda: machine)
    assert files._runs_elsewhere(_job("raspberry-pi-5-onnxruntime")) == elsewhere


@pytest.mark.parametrize(
    ("name", "measured"), [("jetson-orin-nano", False), ("raspberry-pi-5-onnxruntime", True)]
)
def test_no_engine_is_built_for_a_point_of_the_chart(name: str, measured: bool) -> None:
    record = SimpleNamespace(result={"latency_ms_p50": 1.5})
    job = _job(name)
    job.stages = SimpleNamespace(run=lambda *_: record, progress=None)
    job.depends_on = lambda **_: {}
    job.measured_inputs = None
    board = Device(id="board", target=name, transport="local")
    built: Any = SimpleNamespace(key="key")
    assert measure_halfway(job, board, built) == (1.5 if measured else None)


def _job(name: str) -> Any:
    target = load_target(name)
    return SimpleNamespace(
        recipe=SimpleNamespace(target=target), runtime=runtime(target.runtime.name)
    )
