"""The exporter for TensorRT looks at the file: what should be 2:4 is, or there is no file."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgecompress.compress.sparsify import apply_masks
from edgecompress.compress.two_four import masks_for
from edgecompress.errors import ModelError
from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target


def exported(path: Path, dense: tuple[str, ...] | None) -> Path:
    """A convolution that is 2:4 and a linear layer that is not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4)).eval()
    apply_masks(model, masks_for(model, ["0"]))
    exportable = Exportable(
        module=model,
        example_inputs=(torch.randn(1, 8, 4, 4),),
        free_batch=False,
        input_names=("x",),
        output_names=("y",),
        lineage={},
        target=load_target("jetson-orin-nano"),
        dense=dense,
    )
    return runtime("tensorrt").export(exportable, path).path


@pytest.mark.parametrize("dense", [None, ("", "1", "2", "3")])
def test_what_the_recipe_leaves_may_be_dense(tmp_path: Path, dense: tuple[str, ...] | None) -> None:
    assert exported(tmp_path / "model.onnx", dense).exists()


def test_what_it_does_not_leave_may_not(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^tensorrt 10\.3: .*2:4") as caught:
        exported(tmp_path / "model.onnx", ("", "1", "2"))
    assert "16 of 16 fours" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()
