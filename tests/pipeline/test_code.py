"""Keys of stages: the modules and libraries that each of them runs, and no others."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgecompress
from edgecompress.pipeline import code, deploy_all, stages
from edgecompress.pipeline.code import Code
from edgecompress.pipeline.orders import Measured
from edgecompress.progress import SilentProgress
from edgecompress.runtimes import runtime
from edgecompress.spec.report import Report

PACKAGE = Path(edgecompress.__file__).parent
NEVER = ("report", "cli", "push", "store", "transport", "progress", "doctor", "init", "errors")
"""Rooms, none of whose modules makes a result."""

RUNS: dict[str, tuple[set[str], set[str]]] = {
    # stage: modules it runs, and modules it does not
    "train": (
        {"compress.train", "task.base", "pipeline.models"},
        {
            "compress.prune",
            "compress.observers",
            "compress.two_four",
            "runtimes.onnxruntime.export",
        },
    ),
    "prune": (
        {
            "compress.prune",
            "compress.surgery",
            "compress.importance",
            "compress.train",
        },
        {"compress.observers", "compress.quantize", "runtimes.onnxruntime.export"},
    ),
    "finetune": (
        {"compress.train", "compress.distill"},
        {"compress.prune", "compress.surgery", "compress.observers"},
    ),
    "quantize": (
        {
            "compress.observers",
            "compress.quantizer",
            "compress.canonical",
            "compress.train",
        },
        {
            "compress.prune",
            "runtimes.onnxruntime.export",
            "runtimes.onnxruntime.inspect",
            "measure.evaluate",
        },
    ),
    "export original": (
        {"runtimes.onnxruntime.export", "formats.onnx.document", "compress.capture"},
        {
            "runtimes.litert.export",
            "runtimes.tensorrt.export",
            "compress.quantize",
            "compress.prune",
        },
    ),
    "export quantised": (
        {"runtimes.onnxruntime.export", "runtimes.onnxruntime.passes", "compress.quantize"},
        {
            "runtimes.litert.export",
            "runtimes.litert.passes",
            "runtimes.tensorrt.export",
            "compress.prune",
        },
    ),
    "inspect": (
        {"runtimes.onnxruntime.inspect", "runtimes.onnxruntime.reasons", "measure.agent"},
        {
            "runtimes.litert.inspect",
            "runtimes.tensorrt.inspect",
            "runtimes.onnxruntime.export",
            "compress.train",
        },
    ),
    "evaluate": (
        {
            "measure.evaluate",
            "measure.parity",
            "formats.readback",
            "pipeline.outputs",
        },
        {
            "runtimes.onnxruntime.inspect",
            "runtimes.onnxruntime.export",
            "formats.tflite.graph",
            "runtimes.litert.android",
        },
    ),
}
LIBRARIES: dict[str, set[str]] = {
    "train": {"torch", "numpy"},
    "prune": {"torch", "numpy", "torch-pruning"},
    "finetune": {"torch", "numpy"},
    "quantize": {"torch", "numpy", "torchao"},
    "export original": {"torch", "numpy", "onnx", "onnx-ir", "onnxscript"},
    "export quantised": {"torch", "numpy", "torchao", "onnx", "onnx-ir", "onnxscript"},
    "inspect": {"torch", "numpy", "onnx", "onnx-ir", "onnxruntime"},
    "evaluate": {"torch", "numpy", "torchao", "onnx-ir", "onnxruntime"},
}
LITERT = {"litert-torch", "ai-edge-litert", "litert-converter", "flatbuffers"}


@pytest.fixture(scope="module")
def looked_at(undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Deploys in this process, where all is in the store; nothing is measured."""
    folder = tmp_path_factory.mktemp("code") / "project"
    shutil.copytree(undisturbed.folder, folder)
    (folder / "inventory.yaml").write_text("devices: []\n")
    path = [*sys.path]

    def deploy() -> Report:
        config, inventory = folder / "deploy.yaml", folder / "inventory.yaml"
        measured = Measured(inventory)
        (report,) = deploy_all(config, ["tiny"], progress=SilentProgress(), measured=measured)
        assert isinstance(report, Report), report.error
        return report

    yield deploy
    sys.path[:] = path
    sys.modules.pop("task", None)


@pytest.fixture(scope="module")
def codes(looked_at: Callable[[], Report]) -> dict[str, Code]:
    """Stage -> its code; with 'inspect' and 'evaluate' those of the quantised model."""
    found: dict[str, Code] = {}
    key = stages.stage_key

    def noted(name: str, depends_on: Any, of: Code) -> str:
        found[name] = of
        return key(name, depends_on, of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "stage_key", noted)
        report = looked_at()
    assert all(stage.cached for stage in report.stages), (
        "made by another process, found by this one"
    )
    return found


def test_modules(codes: dict[str, Code]) -> None:
    for stage, (runs, does_not) in RUNS.items():
        modules = {name.removeprefix("edgecompress.") for name in codes[stage].modules}
        assert runs <= modules, stage
        assert not does_not & modules, stage
        assert not [name for name in modules if name.split(".")[0] in NEVER], stage


def test_libraries(codes: dict[str, Code]) -> None:
    assert {stage: set(codes[stage].libraries) for stage in LIBRARIES} == LIBRARIES


def test_a_tflite_file_is_made_by_litert() -> None:
    export = "edgecompress.pipeline.files:_export"
    litert = runtime("litert")
    made = code._reached((export, code.entry(litert.export), *litert.needs.exports_with))
    assert set(made.libraries) >= LITERT
    assert "edgecompress.runtimes.onnxruntime.export" not in made.modules
    assert "edgecompress.runtimes.litert.passes" in made.modules
    inspect = "edgecompress.pipeline.files:_inspect"
    seen = code._reached((inspect, code.entry(litert.inspect), "ai-edge-litert"))
    assert "edgecompress.runtimes.litert.inspect" in seen.modules
    assert "edgecompress.runtimes.onnxruntime.inspect" not in seen.modules


def test_each_version_and_each_module_is_in_the_keys_that_depend_on_it(
    codes: dict[str, Code], monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> dict[str, str]:
        return {name: stages.stage_key(name, {}, each) for name, each in codes.items()}

    before = keys()
    assert len(set(before.values())) == len(codes)
    for library in {name for each in codes.values() for name in each.libraries}:
        with monkeypatch.context() as patch:
            patch.setattr(code, "version_of", lambda name, changed=library: name == changed and "9")
            now = {name: each.versions().get(library) for name, each in codes.items()}
            assert {name for name, found in now.items() if found == "9"} == {
                name for name, each in codes.items() if library in each.libraries
            }
            changed = {name for name, key in keys().items() if key != before[name]}
            assert changed >= {name for name, found in now.items() if found == "9"}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        module = module.removesuffix(".__init__")
        with monkeypatch.context() as patch:
            patch.setitem(code._digests(), module, "changed")
            changed = {name for name, key in keys().items() if key != before[name]}
        assert changed == {name for name, each in codes.items() if module in each.modules}, module
