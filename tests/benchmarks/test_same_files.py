"""What benchmarks/same_files.py says of two records, on files that are made by hand."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_files
import pytest
import tflite_files

PATH = list(sys.path)
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
try:
    from same_files import FACTS, compare_all
    from same_files_contents import LINEAGE, Kind, compare
finally:
    sys.path[:] = PATH  # benchmarks/zoo.py there would hide the package of the other tests


def lineage(recipe: str) -> dict[str, str]:
    return {LINEAGE: json.dumps({"recipe": recipe, "task": "t"}), "edgecompress.labels": '["a"]'}


def onnx_file(
    path: Path, recipe: str = "r", change: Callable[[onnx.ModelProto], None] = id
) -> Path:
    onnx_files.linear(path, features=3, classes=2)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, lineage(recipe))
    change(model)
    onnx.save(model, path)
    return path


def tflite_file(path: Path, recipe: str = "r", labels: str = '["a"]') -> Path:
    notes = {**lineage(recipe), "edgecompress.labels": labels}
    return tflite_files.float_edges(path, {key: text.encode() for key, text in notes.items()})


def test_another_origin_is_metadata_in_both_formats(tmp_path: Path) -> None:
    for make, suffix in ((onnx_file, "onnx"), (tflite_file, "tflite")):
        found = compare(make(tmp_path / f"a.{suffix}"), make(tmp_path / f"b.{suffix}", "other"))
        assert found.kind is Kind.METADATA
        assert found.what == ("edgecompress.lineage.recipe",)
        assert compare(tmp_path / f"a.{suffix}", tmp_path / f"a.{suffix}").kind is Kind.SAME


def test_labels_are_no_origin(tmp_path: Path) -> None:
    found = compare(
        tflite_file(tmp_path / "a.tflite"), tflite_file(tmp_path / "b.tflite", "r", "[]")
    )
    assert found.kind is Kind.DIFFERS
    assert found.what == ("metadata.edgecompress.labels: 1 -> 0 of them",)


def _flip(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]


def _rename(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Gemm"


def _add(model: onnx.ModelProto) -> None:
    model.graph.node.add().op_type = "Identity"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_flip, "graph.initializer.0 (w).raw_data: 1 of 24 bytes differ"),
        (_rename, "graph.node.0.op_type: 'MatMul' -> 'Gemm'"),
        (_add, "graph.node: 1 -> 2 of them"),
    ],
)
def test_the_first_difference_is_named_whatever_the_origin(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], what: str
) -> None:
    after = onnx_file(tmp_path / "b.onnx", "other", change)
    found = compare(onnx_file(tmp_path / "a.onnx"), after)
    assert (found.kind, found.what) == (Kind.DIFFERS, (what,))


def test_a_weight_of_a_tflite_file(tmp_path: Path) -> None:
    before = tflite_file(tmp_path / "a.tflite")
    content = bytearray(before.read_bytes())
    weight = tflite_files.schema.Model.GetRootAs(content, 0).Buffers(1).DataAsNumpy()
    place = bytes(content).index(weight.tobytes())
    content[place] ^= 1
    (tmp_path / "b.tflite").write_bytes(content)
    found = compare(before, tmp_path / "b.tflite")
    assert found.kind is Kind.DIFFERS
    assert found.what == (f"buffers.1.data: 1 of {weight.size} bytes differ",)


def record(folder: Path, case: str, op: dict[str, object]) -> None:
    (folder / case).mkdir(parents=True)
    facts = {"candidate": {"inspection": {"ops": [{"name": "conv", "dtype": "int8", **op}]}}}
    (folder / case / FACTS).write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("op", "code", "kind"),
    [
        ({"reason": "so"}, 0, Kind.SAME),
        ({"reason": "so", "new": 1}, 0, Kind.METADATA),
        ({"reason": "thus"}, 1, Kind.WORDS),
        ({"reason": "thus", "dtype": "float32"}, 1, Kind.DIFFERS),
        ({}, 1, Kind.WORDS),
    ],
)
def test_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], op: dict[str, object], code: int, kind: Kind
) -> None:
    """What was recorded of one code only is no difference where it is a whole case."""
    before, after = tmp_path / "before", tmp_path / "after"
    for case in ("demo/a/local", "demo/b/local"):
        record(before, case, {"reason": "so"})
    record(after, "demo/a/local", op)
    assert compare_all(before, after, ["*"]) == code
    assert f"1 {kind.value}" in capsys.readouterr().out
    (after / "demo/a/local" / FACTS).unlink()
    (after / "demo/a/jetson").mkdir()
    assert compare_all(before, after, ["*"]) == 1, "lost"


def test_nothing_compared_is_no_agreement(tmp_path: Path) -> None:
    record(tmp_path / "before", "demo/a/local", {})
    (tmp_path / "after").mkdir()
    assert compare_all(tmp_path / "before", tmp_path / "after", ["*"]) == 1
