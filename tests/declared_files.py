"""Small files that declare how their pictures are prepared."""

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest
import torch
from onnx import TensorProto
from onnx_models import GraphBuilder
from torch import nn

from edgecompress.artifact import Artifact
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.metadata import LABELS_KEY, LAYOUT_KEY, PREPROCESSING_KEY
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.preprocessing import AudioPreprocessing, ImagePreprocessing

DECLARED = ImagePreprocessing(size=(8, 8), resize="letterbox", colours="bgr", mean=(0.1, 0.2, 0.3))
LABELS = tuple(f"class {index}" for index in range(144))
EXACT = 0.01
"""Levels on average: where a sum ends half-way between two, float32 and float64 may part."""
RULES: tuple[Mapping[str, object], ...] = (
    {"resize": "stretch"},
    {"resize": "crop"},
    {"resize": "crop", "shorter": 45},
    {"resize": "letterbox", "fill": 7},
)
NEEDS = {
    "local-onnxruntime": "onnxruntime",
    "local-litert": "litert_torch",
    "local-executorch": "executorch",
    "jetson-orin-nano": "onnxruntime",
}


class DeclaredFiles:
    """Files by the names of their targets, each exported once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Artifact] = {}

    def __call__(self, name: str) -> Artifact:
        """Skips the test where the exporter is not installed."""
        if name not in self._made:
            needed = NEEDS[name]
            pytest.importorskip(needed, reason=f"needs {needed}: pip install '.[dev]'")
            self._made[name] = self._exported(name)
        return self._made[name]

    def _exported(self, name: str) -> Artifact:
        target = load_target(name)
        writer = runtime(target.runtime.name)
        torch.manual_seed(0)
        model = Exportable(
            module=nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()).eval(),
            example_inputs=(torch.randn(1, 3, 8, 8),),
            free_batch=False,
            input_names=("x",),
            output_names=("y",),
            lineage={},
            target=target,
            labels=LABELS,
            preprocessing=DECLARED,
        )
        return writer.export(model, self._folder / f"{name}{writer.format.suffix}")


class PictureFiles:
    """Files that compute next to nothing, for any declaration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def __call__(self, declared: ImagePreprocessing | AudioPreprocessing | None) -> Path:
        """An ONNX file: the mean of each channel, 'red', 'green', 'blue'."""
        g, is_picture = GraphBuilder(), isinstance(declared, ImagePreprocessing)
        channels, sides = (declared.channels, declared.size) if is_picture else (3, (24, 32))
        levels = is_picture and declared.normalised_in == "file"
        g.input("x", (1, channels, *sides), TensorProto.UINT8 if levels else TensorProto.FLOAT)
        g.node("Cast", ["x"], "f", to=TensorProto.FLOAT)
        g.node("GlobalAveragePool", ["f"], "p")
        g.node("Flatten", ["p"], "y")
        g.output("y", (1, channels))
        metadata = {LABELS_KEY: json.dumps(["red", "green", "blue"])}
        if declared is not None:
            metadata[PREPROCESSING_KEY] = declared.model_dump_json()
        return g.save(self._path("onnx"), metadata=metadata)

    def tflite(self, declared: ImagePreprocessing, dtype: str, layout: str) -> Path:
        """A TFLite file whose input is of that type and order; integers have steps of 1/64."""
        from tflite_files import FileBuilder

        b, channels, sides = FileBuilder(), declared.channels, declared.size
        shape = (1, *sides, channels) if layout == "nhwc" else (1, channels, *sides)
        b.tensor("x", shape, dtype, 1 / 64, 5)
        b.op("RELU", ["x"], [b.tensor("out", shape, dtype, 1 / 64, 5)])
        notes = {PREPROCESSING_KEY: declared.model_dump_json(), LAYOUT_KEY: f'{{"x": "{layout}"}}'}
        encoded = {name: text.encode() for name, text in notes.items()}
        return b.save(self._path("tflite"), {"x": "x"}, {"out": "y"}, encoded)

    def _path(self, suffix: str) -> Path:
        return self._folder / f"model{next(self._numbers)}.{suffix}"
