"""Files that are given levels, uint8, have the integers inside that files given floats have."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from onnx_models import GraphBuilder
from quantizing import scheme
from torch import Tensor, nn

from edgecompress.artifact import Artifact
from edgecompress.compress.inputs import OffBorders, settle_input
from edgecompress.compress.quantize import (
    Prepared,
    calibrate,
    captured,
    convert,
    prepare_captured,
)
from edgecompress.contract.levels import (
    Steps,
    apart,
    are_levels,
    factors,
    has_border,
    kept_out,
    levels_of,
    takes_levels,
)
from edgecompress.contract.mistakes import departure
from edgecompress.contract.picture import drawn
from edgecompress.contract.prepare import normalised, prepare
from edgecompress.errors import TaskError
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.metadata import PREPROCESSING_KEY
from edgecompress.measure.tensors import feed
from edgecompress.pipeline.contract import check_app, run_on
from edgecompress.pipeline.reporting import input_notes
from edgecompress.progress import SilentProgress
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.preprocessing import ImagePreprocessing
from edgecompress.task import Batch

SIZE = (10, 12)
IMAGENET = ImagePreprocessing(
    size=SIZE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), normalised_in="file"
)
ZERO_ONE = ImagePreprocessing(size=SIZE, normalised_in="file")
MINUS_ONE = ImagePreprocessing(
    size=SIZE, scale=1 / 127.5, mean=(1.0,) * 3, colours="bgr", normalised_in="file"
)
LEFT = ImagePreprocessing(size=SIZE, scale=1.0, normalised_in="file")
DECLARED = {"ImageNet's": IMAGENET, "0 to 1": ZERO_ONE, "-1 to 1": MINUS_ONE, "as they are": LEFT}
FOR = {"local-onnxruntime": "uint8", "local-litert": "litert", "local-openvino": "uint8"}
CASES = [
    *(("local-onnxruntime", "uint8", name) for name in DECLARED),
    *(("local-litert", "litert", name) for name in ("ImageNet's", "-1 to 1")),
    *((target, "portable", "0 to 1") for target in ("local-onnxruntime", "local-litert")),
    ("local-openvino", "uint8", "ImageNet's"),
]
"""Targets, schemes and declarations: all of each, and no more of their combinations, because each
is exported twice.
"""
NEEDS = {"local-litert": "litert_torch", "local-openvino": "openvino"}


class Net(nn.Module):
    """Its first convolution has a border of zeros, which are normalised ones."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.next = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 5)
        with torch.no_grad():
            self.stem.weight /= scale

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.next(torch.relu(self.stem(x))))
        return self.fc(features.mean((2, 3)))  # type: ignore[no-any-return]


def pictures(count: int, seed: int) -> NDArray[np.uint8]:
    """[count, height, width, 3]: noise, in which every level of every channel occurs."""
    random = np.random.default_rng(seed)
    found = random.integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
    ramp = np.arange(count * SIZE[0] * SIZE[1], dtype=np.uint8).reshape(count, *SIZE)
    found[::2] = random.permuted(ramp[..., None].repeat(3, axis=3), axis=2)[::2]
    return found


def as_floats(levels: NDArray[np.uint8], declared: ImagePreprocessing) -> NDArray[np.float32]:
    return np.concatenate([normalised(each, declared) for each in levels])


def made(declared: ImagePreprocessing, wanted: str, keep_float: tuple[str, ...] = ()) -> Prepared:
    spread = float(np.abs(as_floats(pictures(1, 0), declared)).max())
    model, example = Net(spread).eval(), (torch.zeros(1, 3, *SIZE),)
    traced = captured(model, example, None)
    prepared = prepare_captured(traced, scheme(wanted), "minmax", keep_float)
    calibrate(prepared, seen(declared))
    return prepared


def seen(declared: ImagePreprocessing) -> list[Batch]:
    return [((torch.from_numpy(as_floats(pictures(8, 1), declared)),), None)]


def written(
    prepared: Prepared, declared: ImagePreprocessing, target_name: str, path: Path
) -> Artifact:
    target = load_target(target_name)
    writer = runtime(target.runtime.name)
    quantized = convert(prepared, integers=writer.capabilities.takes_integers)
    model = Exportable(
        module=quantized.graph,
        example_inputs=prepared.example_inputs,
        free_batch=prepared.free_batch,
        input_names=("x",),
        output_names=("y",),
        lineage={},
        target=target,
        layers=quantized.layers,
        scheme=prepared.scheme,
        preprocessing=declared,
    )
    return writer.export(model, path.with_suffix(writer.format.suffix))


def ran(
    artifact: Artifact, fed: NDArray[np.generic], kernels: str, target: str
) -> NDArray[np.generic]:
    """What a file puts out for one sample after the other."""
    if target == "local-openvino":
        import openvino

        compiled = openvino.Core().compile_model(str(artifact.path), "CPU")
        return np.concatenate([compiled([each[None]])[0] for each in fed])
    if artifact.format == "onnx":
        options = onnxruntime.SessionOptions()
        if kernels == "BUILTIN_REF":
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            artifact.path, options, providers=["CPUExecutionProvider"]
        )
        return np.concatenate([session.run(None, {"x": each[None]})[0] for each in fed])
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType[kernels]
    runner = Interpreter(
        str(artifact.path), num_threads=1, experimental_op_resolver_type=resolver
    ).get_signature_runner()
    return np.concatenate([runner(x=each[None])["y"] for each in fed])


@pytest.mark.parametrize(("target", "wanted", "name"), CASES)
def test_uint8_and_floats_give_the_same_integers(
    target: str, wanted: str, name: str, tmp_path: Path
) -> None:
    if target in NEEDS:
        pytest.importorskip(NEEDS[target], reason=f"needs {NEEDS[target]}: pip install '.[dev]'")
    declared = DECLARED[name]
    levels = pictures(24, 2)
    floats = as_floats(levels, declared)
    prepared = made(declared, wanted)
    settle_input(prepared, declared)
    calibrate(prepared, seen(declared))
    outside = declared.model_copy(update={"normalised_in": "application"})
    one = written(prepared, outside, target, tmp_path / "floats")
    other = written(prepared, declared, target, tmp_path / "levels")
    assert takes_levels(other.preprocessing), other.preprocessing
    assert (one.inputs[0].dtype, other.inputs[0].dtype) == ("float32", "uint8")
    fed, given = feed(one, [floats])["x"], feed(other, [floats])["x"]
    # What a task has of a picture is its levels again.
    last = other.inputs[0].layout == "nhwc"
    assert np.array_equal(given, levels if last else levels.transpose(0, 3, 1, 2))
    for kernels in ("BUILTIN", "BUILTIN_REF"):
        wants = ran(one, fed, kernels, target)
        assert len(np.unique(wants)) > 10
        assert np.array_equal(ran(other, given, kernels, target), wants)


def test_levels_that_are_the_integers_cost_nothing(tmp_path: Path) -> None:
    """Where the input's steps are those of the pixels, nothing is computed."""
    import onnx

    artifact = written(made(ZERO_ONE, "uint8"), ZERO_ONE, "local-onnxruntime", tmp_path / "m")
    kinds = [node.op_type for node in onnx.load(artifact.path).graph.node]
    assert not {"Cast", "Mul", "Add", "QuantizeLinear"} & set(kinds[:2])
    other = written(made(IMAGENET, "uint8"), IMAGENET, "local-onnxruntime", tmp_path / "n")
    kinds = [node.op_type for node in onnx.load(other.path).graph.node]
    assert {"Cast", "Mul", "Add"} <= set(kinds)


@pytest.mark.parametrize("target", ["local-onnxruntime", "local-litert"])
def test_a_file_that_could_have_other_integers_stays_and_says_why(
    target: str, tmp_path: Path
) -> None:
    if target in NEEDS:
        pytest.importorskip(NEEDS[target], reason=f"needs {NEEDS[target]}: pip install '.[dev]'")
    for declared, keep_float, words in (
        (IMAGENET, ("stem",), "its first operators are float"),
        # All of them lie half-way between two of 256 integers from -1 to 1.
        (MINUS_ONE, (), "level 0 of channel 0 lies on the border"),
    ):
        kept = written(made(declared, FOR[target], keep_float), declared, target, tmp_path / "f")
        assert kept.inputs[0].dtype == "float32"
        assert isinstance(kept.preprocessing, ImagePreprocessing)
        assert words in kept.preprocessing.because
        assert not takes_levels(kept.preprocessing)


def test_a_level_on_the_border_of_two_integers_is_found() -> None:
    assert apart(ZERO_ONE, Steps(1 / 255, 0, "uint8")) is None
    assert are_levels(ZERO_ONE, Steps(1 / 255, -128, "int8"))
    assert not are_levels(ZERO_ONE, Steps(1 / 254, 0, "uint8"))
    # Every odd level lies half-way.
    told = apart(LEFT, Steps(2.0, 0, "uint8"))
    assert told is not None
    assert "level 1 of channel 0 lies on the border" in told
    # What saturates is the same whatever is rounded.
    assert apart(LEFT, Steps(1 / 64, 0, "uint8")) is None


def test_a_scale_is_moved_off_the_borders_and_no_further() -> None:
    scale = torch.tensor([2 / 255])
    assert has_border(MINUS_ONE, float(scale))
    moved = OffBorders(MINUS_ONE)(scale)
    assert moved > scale
    assert not has_border(MINUS_ONE, float(moved))
    assert OffBorders(MINUS_ONE)(moved) == moved
    assert OffBorders(ZERO_ONE)(torch.tensor([1 / 255])) == torch.tensor([1 / 255])


def test_all_levels_come_out_as_they_went_in() -> None:
    levels = np.arange(256, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    for declared in DECLARED.values():
        other = declared.model_copy(update={"size": (1, 1)})
        floats = np.concatenate([normalised(each, other) for each in levels])
        assert np.array_equal(levels_of(floats, other), levels.transpose(0, 3, 1, 2))
        multiplied, added = factors(other)
        inside = levels.transpose(0, 3, 1, 2) * multiplied[:, None, None] + added[:, None, None]
        assert np.abs(inside - floats).max() < 1e-5 * np.abs(floats).max()


def test_what_is_no_picture_is_refused_by_its_shape(tmp_path: Path) -> None:
    artifact = written(made(ZERO_ONE, "uint8"), ZERO_ONE, "local-onnxruntime", tmp_path / "m")
    with pytest.raises(TaskError, match="takes shape"):
        feed(artifact, [np.zeros((1, 3, 9, 9), np.float32)])


def test_a_file_that_takes_levels_is_run_and_checked(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install '.[images]'")
    g = GraphBuilder()
    g.input("x", (1, 3, *SIZE), TensorProto.UINT8)
    g.node("Cast", ["x"], "f", to=TensorProto.FLOAT)
    g.node("GlobalAveragePool", ["f"], "y")
    g.output("y", (1, 3, 1, 1))
    file = g.save(tmp_path / "m.onnx", metadata={PREPROCESSING_KEY: IMAGENET.model_dump_json()})
    image.fromarray(pictures(1, 3)[0]).save(tmp_path / "p.png")
    ran_on = run_on(file, tmp_path / "p.png", SilentProgress())
    means = pictures(1, 3)[0].mean(axis=(0, 1))
    assert np.allclose(ran_on.outputs["y"].ravel(), means, atol=1e-3)
    app = tmp_path / "app.py"
    app.write_text(
        "import sys, numpy as np\nfrom PIL import Image\n"
        "p = Image.open(sys.argv[1]).resize((12, 10), Image.Resampling.BILINEAR)\n"
        "np.save(sys.argv[2], np.asarray(p).transpose(2, 0, 1)[None])\n"
    )
    found = check_app(file, f"{sys.executable} '{app}'", None, SilentProgress())
    assert found is not None
    assert found.is_right


def test_a_report_says_why_levels_are_not_taken(tmp_path: Path) -> None:
    kept = kept_out(IMAGENET, "it is Monday")
    artifact = written(made(ZERO_ONE, "uint8"), kept, "local-onnxruntime", tmp_path / "m")
    assert input_notes(artifact) == (
        "the file is given normalised floats, and not levels: it is Monday",
    )
    assert input_notes(artifact.model_copy(update={"preprocessing": ZERO_ONE})) == ()


def test_an_application_that_normalises_as_well_is_found() -> None:
    picture = drawn(IMAGENET)
    floats = prepare(picture, IMAGENET)
    levels = levels_of(floats, IMAGENET).astype(np.float64)
    assert departure(levels, picture, IMAGENET, "nchw").is_right
    (told,) = departure(floats.astype(np.float64), picture, IMAGENET, "nchw").mistakes
    assert told == "scale, mean and std: applied, where the file does that"
    (told,) = departure(levels / 255, picture, IMAGENET, "nchw").mistakes
    assert "divided by 255" in told
    (told,) = departure(levels[:, ::-1], picture, IMAGENET, "nchw").mistakes
    assert "order of bgr" in told
