"""A YOLO: with the real library where it is installed, and its head's decoding with a stand-in."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from adapting import EXAMPLES, MOST_ADDED, added_lines, import_torchvision, run_example
from torch import Tensor, nn

from edgecompress.adapters import Asked, parts_of
from edgecompress.adapters.ultralytics import Boxes
from edgecompress.api.compressing import PLAIN_INT8, keeping, wanted_of
from edgecompress.contract.picture import read_picture
from edgecompress.contract.prepare import prepare
from edgecompress.errors import TaskError
from edgecompress.task.given import Given
from edgecompress.task.load import original_model

pytestmark = pytest.mark.filterwarnings("ignore")
EXAMPLE = "with_ultralytics.py"
SIDE, CLASSES = 64, 2


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)
    return pytest.importorskip("ultralytics", reason="edgecompress[ultralytics] is not installed")


@pytest.fixture
def shapes(library: Any, tmp_path: Path) -> Path:
    """A data set of the example's, with few pictures, which are larger and wider than high."""
    image = pytest.importorskip("PIL.Image")
    example = runpy.run_path(str(EXAMPLES / EXAMPLE))
    folder = tmp_path / "shapes"
    for part, count in (("train", 5), ("val", 3)):
        example["draw_shapes"](folder, part, count, seed=count)
    for file in folder.glob("images/*/*.png"):
        image.open(file).resize((128, 96)).save(file)
    name = folder / "shapes.yaml"
    name.write_text(example["DATA"].format(folder=folder))
    return name


@pytest.mark.slow
def test_the_published_example(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trains for minutes."""
    import_torchvision()
    # What is made lies with the project, and not with the library, as in its own tests.
    monkeypatch.setattr("ultralytics.cfg.TESTS_RUNNING", False)
    assert len(added_lines(EXAMPLE)) == MOST_ADDED
    names = run_example(EXAMPLE, tmp_path / "project", monkeypatch)
    report, theirs = names["report"], names["metrics"].box.map
    assert report.baseline.metric.samples == 64
    assert report.baseline.metric.value == pytest.approx(theirs, abs=0.01)
    assert report.candidate.metric.value > report.baseline.metric.value - 0.02


def test_outputs_and_data_are_the_librarys(library: Any, shapes: Path) -> None:
    yolo = library.YOLO("yolo11n.yaml")
    yolo.model.yaml["nc"] = CLASSES
    yolo.model = type(yolo.model)(yolo.model.yaml, verbose=False)
    yolo.overrides["imgsz"] = SIDE
    parts = parts_of(Asked(yolo, str(shapes)))
    assert parts.evaluate is not None
    what = Given(parts.model, parts.evaluate, parts.train, scoring=parts.scoring)
    task = what.task()
    assert task.labels() == ("0", "1")
    ((pictures, targets),) = task.eval_data()
    boxes, scores = original_model(task)(pictures)
    yolo.model.eval().model[-1].xyxy = True
    theirs, _ = yolo.model(pictures)
    assert boxes.equal(theirs[:, :4].transpose(1, 2))
    assert scores.equal(theirs[:, 4:].transpose(1, 2))
    # Pictures are as the contract says that an application prepares them.
    declared = task.preprocessing()
    assert declared is not None
    files = sorted(shapes.parent.glob("images/val/*"))
    for picture, target, file in zip(pictures, targets, files, strict=True):
        ours = torch.from_numpy(prepare(read_picture(file), declared))
        assert (ours[0] - picture).abs().max() < 1.5 / 255
        lines = (shapes.parent / "labels" / "val" / f"{file.stem}.txt").read_text().splitlines()
        assert target["labels"].tolist() == [int(line[0]) for line in lines]
        places = [[float(each) for each in line.split()[1:3]] for line in lines]
        middles = torch.tensor(places) * torch.tensor([64, 48]) + torch.tensor([0, 8])
        found = (target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2
        assert found.allclose(middles, atol=1e-3)
    assert [len(x) for x, _ in task.train_data()] == [5]


class Detect(nn.Module):
    """As much of a head as is asked for: three numbers a cell for boxes and classes are inputs."""

    nc, end2end = CLASSES, False
    f = [0, -1]

    def __init__(self) -> None:
        super().__init__()
        self.stride = torch.tensor([8.0, 16.0])
        self.dfl = nn.Identity()
        self.one2many = {"part": slice(0, 6)}

    def forward_head(self, inputs: list[Tensor], part: slice) -> dict[str, Tensor]:
        flat = torch.cat([x[:, part].flatten(2) for x in inputs], 2)
        return {"boxes": flat[:, :4], "scores": flat[:, 4:]}


class Layer(nn.Module):
    """What it was told to put out."""

    f = -1

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(len(x), -1, -1, -1) + 0 * x.sum()


class Net(nn.Module):
    """Two maps of 4 x 4 and 2 x 2 cells, for pictures of 32; one object in each map."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        maps = [torch.zeros(1, 6, side, side) for side in (4, 2)]
        for each in maps:
            each[:, :4], each[:, 4:] = 0.5, -9.0
        maps[0][0, 4, 1, 2], maps[1][0, 5, 0, 1] = 3.0, 3.0
        self.model = nn.ModuleList([*map(Layer, maps), Detect() if head is None else head])


def stand_in(**changes: Any) -> Any:
    kind = type("Model", (SimpleNamespace,), {"__module__": "ultralytics.engine.model"})
    known = {"task": "detect", "model": Net(), "overrides": {"imgsz": 32, "model": "a/net.pt"}}
    return kind(**(known | {"names": {0: "box", 1: "disc"}} | changes))


def test_cells_become_boxes() -> None:
    pytest.importorskip("faster_coco_eval")
    pictures = torch.rand(2, 3, 32, 32)
    wanted = {"boxes": torch.tensor([[16.0, 8, 24, 16], [16, 0, 32, 16]]),
              "labels": torch.tensor([0, 1])}  # fmt: skip
    data = [(pictures, [wanted] * 2)]
    parts = parts_of(Asked(stand_in(), data, data))
    assert parts.title == "net"
    assert isinstance(parts.model, Boxes)
    task = Given(parts.model, data, data, scoring=parts.scoring).task()
    model = original_model(task)
    boxes, scores = model(pictures)
    assert (boxes.shape, scores.shape) == ((2, 20, 4), (2, 20, CLASSES))
    assert boxes[0, [6, 17]].tolist() == wanted["boxes"].tolist()
    metric = task.metric()
    task.update(metric, (boxes, scores), data[0][1])
    assert metric.compute() == pytest.approx(1.0)
    assert task.labels() == ("box", "disc")
    with pytest.raises(TaskError, match="loss: none is given, and the recipe trains; give loss="):
        task.loss((boxes, scores), data[0][1])


def test_what_is_decoded_stays_in_float_unless_the_recipe_names_others() -> None:
    parts = parts_of(Asked(stand_in(), [], []))
    assert parts.keep_float == ("decode",)
    assert set(parts.keep_float) <= dict(parts.model.named_modules()).keys()
    found = [
        keeping(wanted_of({"recipe": recipe}), parts.keep_float).quantize
        for recipe in ({}, {"quantize": {**PLAIN_INT8, "keep_float": ["model.model.1"]}})
    ]
    assert [each and each.keep_float for each in found] == [("decode",), ("model.model.1",)]


class RTDETRDecoder(nn.Module):
    pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "segment"}, "model: this YOLO is for 'segment', and only one for 'detect'"),
        ({"model": "net.onnx"}, "model: this YOLO is the file net.onnx, without weights"),
        ({"overrides": {"imgsz": [32, 64]}}, r"model: its imgsz is \[32, 64\]; pictures must be"),
        ({"overrides": {}}, "train: this YOLO knows no data set; give train='the name.yaml'"),
        (
            {"model": Net(RTDETRDecoder())},
            "model: its head is a RTDETRDecoder that cannot be taken",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=f"^{words}"):
        parts_of(Asked(stand_in(**changes)))
