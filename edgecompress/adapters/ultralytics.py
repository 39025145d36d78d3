"""ultralytics: a YOLO that finds boxes, and the data set that it was trained on.

What the file puts out is decoded: boxes in pixels and a score for each class. Suppressing the
overlapping ones stays the application's, as `DetectionTask.decode` does it.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from edgecompress.adapters.parts import Asked, Parts
from edgecompress.errors import TaskError
from edgecompress.spec.preprocessing import ImagePreprocessing, Preprocessing
from edgecompress.task.given import Given, GivenTask, Scoring, made
from edgecompress.task.guard import user_code
from edgecompress.task.kinds.detection import DetectionTask
from edgecompress.task.metric import Metric
from edgecompress.task.metrics.detection import MeanAveragePrecision

_HEADS = ("Detect", "v10Detect")
_SIDE = 640
"""Height and width of pictures where a model says nothing, as ultralytics has it."""
_BATCH = 16


def parts_of(asked: Asked) -> Parts:
    """The network with boxes and scores for outputs, and the pictures of its data set.

    Raises:
        TaskError: the model is no detector, or knows no data set.

    """
    yolo = asked.model
    if yolo.task != "detect":
        raise TaskError(
            f"model: this YOLO is for '{yolo.task}', and only one for 'detect' can be taken so far;"
            " write a Task"
        )
    if not isinstance(yolo.model, nn.Module):
        raise TaskError(
            f"model: this YOLO is the file {yolo.model}, without weights to train or to calibrate;"
            " give the one that it was exported from"
        )
    side = yolo.overrides.get("imgsz", _SIDE)
    if not isinstance(side, int):
        raise TaskError(f"model: its imgsz is {side}; pictures must be square: train with one side")
    boxes = Boxes(yolo.model, side)
    is_name = isinstance(asked.train, (str, Path))
    name = asked.train if is_name else yolo.overrides.get("data")
    train, evaluate = None if is_name else asked.train, asked.evaluate
    if name is None and (train is None or evaluate is None):
        raise TaskError("train: this YOLO knows no data set; give train='the name.yaml' of one")
    if evaluate is None:
        evaluate = _loader(yolo, name, "val", side)
    if train is None:
        train = _loader(yolo, name, "train", side)
    labels = tuple(str(yolo.names[index]) for index in sorted(yolo.names))
    title = Path(str(yolo.overrides.get("model", "YOLO"))).stem
    # Eight bits over a whole picture are too few for a corner of a box.
    scoring = Scoring(labels=labels, kind=GivenBoxes)
    return Parts(boxes, evaluate, train, scoring, title, ("decode",))


class Boxes(nn.Module):
    """A detector of ultralytics with its head decoded: pictures [N, 3, side, side] float32, 0..1,
    RGB, give boxes [N, M, 4] in pixels, as x1, y1, x2, y2, and scores [N, M, classes], 0..1. Its
    modules' paths begin with `model.model.`.
    """

    def __init__(self, model: nn.Module, side: int) -> None:
        """The model of a YOLO, for square pictures.

        Raises:
            TaskError: its head is of another kind.

        """
        super().__init__()
        self.model = model
        self.side = side
        head = self._layers()[-1]
        if type(head).__name__ not in _HEADS or not hasattr(head, "forward_head"):
            raise TaskError(
                f"model: its head is a {type(head).__name__} that cannot be taken; known are"
                f" {' and '.join(_HEADS)} of ultralytics 8.4 and later"
            )
        self.classes: int = head.nc
        self.is_final: bool = head.end2end
        """Whether boxes are final: the head was trained to give each object one."""
        self.decode = Decode(head.dfl, side, [int(each) for each in head.stride])

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and scores."""
        *layers, head = self._layers()
        kept: list[Any] = []
        x: Any = pictures
        for layer in layers:
            x = layer(_inputs(layer, x, kept))
            kept.append(x)
        parts = head.one2one if self.is_final else head.one2many
        raw = head.forward_head(_inputs(head, x, kept), **parts)
        decoded: tuple[Tensor, Tensor] = self.decode(raw["boxes"], raw["scores"])
        return decoded

    def _layers(self) -> list[Any]:
        # Each says where its inputs come from; they have no types.
        layers: Any = self.model.model
        return list(layers)


class Decode(nn.Module):
    """From what the head's convolutions put out to boxes in pixels and scores."""

    centres: Tensor
    strides: Tensor

    def __init__(self, distances: nn.Module, side: int, strides: list[int]) -> None:
        super().__init__()
        self.distances = distances
        grids = [_grid(side // stride) for stride in strides]
        self.register_buffer("centres", torch.cat(grids, 1))
        pairs = zip(grids, strides, strict=True)
        sizes = [torch.full((1, grid.shape[1]), float(stride)) for grid, stride in pairs]
        self.register_buffer("strides", torch.cat(sizes, 1))

    def forward(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [N, M, 4] and scores [N, M, classes] of raw ones, [N, .., M] each."""
        left_top, right_bottom = self.distances(boxes).chunk(2, 1)
        corners = torch.cat([self.centres - left_top, self.centres + right_bottom], 1)
        return (corners * self.strides).transpose(1, 2), scores.sigmoid().transpose(1, 2)


class GivenBoxes(GivenTask, DetectionTask):
    """Boxes of classes, whose metric is mAP 50-95 unless another is given."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        assert isinstance(given.model, Boxes), "made together"
        self._boxes = given.model
        if self._boxes.is_final:
            self.largest_overlap = 1.0

    @property
    def classes(self) -> int:
        return self._boxes.classes

    def metric(self) -> Metric:
        given = self._given.scoring.metric
        return MeanAveragePrecision() if given is None else made(given)

    def preprocessing(self) -> Preprocessing:
        """As ultralytics reads pictures, where nothing else is said: by OpenCV, the longer side
        fitted.
        """
        given = super().preprocessing()
        if given is not None:
            return given
        side = self._boxes.side
        return ImagePreprocessing(size=(side, side), resize="letterbox", antialias=False)


def _grid(cells: int) -> Tensor:
    """[2, cells * cells]: x and y of the middles of cells, row by row, in cells."""
    middles = torch.arange(cells) + 0.5
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()])


def _inputs(layer: Any, last: Any, kept: list[Any]) -> Any:
    """What a layer is given: of the last layer, of another one, or of several."""
    if isinstance(layer.f, int):
        return last if layer.f == -1 else kept[layer.f]
    return [last if index == -1 else kept[index] for index in layer.f]


def _loader(yolo: Any, name: str | Path, part: str, side: int) -> DataLoader[Any]:
    """Pictures of a part of a data set, fitted into squares, none changed at random."""
    argument = "evaluate" if part == "val" else "train"
    with user_code(f"{argument}: the data set {name}"):
        # Nothing is fetched: what is not there is an error.
        info = import_module("ultralytics.data.utils").check_det_dataset(str(name), False)
        config = import_module("ultralytics.cfg").get_cfg(
            overrides={"task": "detect", "imgsz": side}
        )
        build = import_module("ultralytics.data").build_yolo_dataset
        stride = int(max(yolo.model.stride))
        pictures = build(config, info[part], _BATCH, info, mode="val", rect=False, stride=stride)
    if len(info["names"]) != len(yolo.names):
        raise TaskError(
            f"{argument}: the data set {name} has {len(info['names'])} classes, and the model"
            f" {len(yolo.names)}; give the one that it was trained on"
        )
    return DataLoader(pictures, _BATCH, shuffle=part == "train", collate_fn=_pair)


def _pair(samples: list[dict[str, Any]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures [N, 3, H, W] float32, 0..1, and the boxes of each, in pixels."""
    pictures = torch.stack([each["img"] for each in samples]).float() / 255
    height, width = pictures.shape[2:]
    scale = torch.tensor([width, height, width, height])
    return pictures, [
        {"boxes": _corners(each["bboxes"]) * scale, "labels": each["cls"].flatten().long()}
        for each in samples
    ]


def _corners(boxes: Tensor) -> Tensor:
    """[n, 4] x1, y1, x2, y2 of middles, widths and heights."""
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([middle - half, middle + half], 1).float()
