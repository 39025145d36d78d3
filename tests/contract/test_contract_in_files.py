"""The declaration is in the file of every format, and what is not one is refused with the task."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgecompress.errors import TaskError
from edgecompress.formats.exportable import Exportable
from edgecompress.pipeline.formats import describe_file
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.preprocessing import ImagePreprocessing
from edgecompress.task import Task
from edgecompress.task.load import original_model

DECLARED = ImagePreprocessing(size=(8, 8), resize="letterbox", colours="bgr", mean=(0.1, 0.2, 0.3))
TARGETS = {
    "local-onnxruntime": "onnxruntime",
    "local-litert": "litert_torch",
    "local-executorch": "executorch",
    "jetson-orin-nano": "onnxruntime",
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_format_keeps_it(name: str, tmp_path: Path) -> None:
    pytest.importorskip(TARGETS[name], reason=f"needs {TARGETS[name]}: pip install '.[dev]'")
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
        preprocessing=DECLARED,
    )
    path = tmp_path / f"model{writer.format.suffix}"
    assert writer.export(model, path).preprocessing == DECLARED
    assert describe_file(path).preprocessing == DECLARED


class Pictures(Task):
    """Declares what `declared` is."""

    declared: object = None

    def model(self) -> nn.Module:
        return nn.Conv2d(3, 2, 3)

    def example_inputs(self) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(1, 3, 8, 8),)

    def preprocessing(self) -> ImagePreprocessing | None:
        return self.declared  # type: ignore[return-value]  # some are wrong

    train_data = eval_data = metric = loss = None  # type: ignore[assignment]  # never asked


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"size": [8, 8]}, "give an ImagePreprocessing"),
        (ImagePreprocessing(size=(8, 9)), r"a float input of \[1, 3, 8, 9\], and example_inputs"),
        (ImagePreprocessing(size=(8, 8), colours="gray"), r"a float input of \[1, 1, 8, 8\]"),
    ],
)
def test_what_does_not_fit_the_example_is_refused(declared: object, words: str) -> None:
    task = Pictures()
    task.declared = DECLARED
    assert isinstance(original_model(task), nn.Module)
    task.declared = declared
    with pytest.raises(TaskError, match=words):
        original_model(task)
