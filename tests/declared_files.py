"""One small file of each format that declares how its pictures are prepared."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgecompress.artifact import Artifact
from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.preprocessing import ImagePreprocessing

DECLARED = ImagePreprocessing(size=(8, 8), resize="letterbox", colours="bgr", mean=(0.1, 0.2, 0.3))
LABELS = tuple(f"class {index}" for index in range(144))
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
