"""Boxes beside scores, in the files of three runtimes."""

from pathlib import Path

import litert_files
import pytest
import quantizing
import tensorrt_files
import torch
from detecting import IMAGES, Heads, Kept, kept, of_members

from edgecompress.compress.quantize import convert
from edgecompress.spec.scheme import QuantizationScheme

X = (IMAGES[0][:1],)
PORTABLE = quantizing.scheme("portable")


def joined(scheme: QuantizationScheme) -> tuple[Heads, Kept]:
    model = Heads("flat").eval()
    return model, kept(model, IMAGES, scheme)


def least_db(model: Heads, found: object) -> float:
    with torch.no_grad():
        return min(of_members(model(*X), torch.as_tensor(found)))


@pytest.mark.parametrize("scheme", [quantizing.scheme("uint8"), PORTABLE], ids=["own", "portable"])
def test_onnx_runtime(scheme: QuantizationScheme, tmp_path: Path) -> None:
    model, (prepared, because) = joined(scheme)
    file = quantizing.exported(prepared, model, tmp_path)
    assert least_db(model, file.run(X)[0]) > 25
    assert set(because) == {":cat"}
    assert "Conv" not in file.float_kernels


@pytest.mark.parametrize(
    "scheme", [litert_files.scheme("affine"), PORTABLE], ids=["own", "portable"]
)
@pytest.mark.parametrize("edges", ["int8", "float32"])
def test_litert(scheme: QuantizationScheme, edges: str, tmp_path: Path) -> None:
    model, (prepared, _) = joined(scheme)
    converted = convert(prepared, integers=False)
    file = litert_files.export(
        converted.graph,
        X,
        tmp_path,
        litert_files.INT8.model_copy(update={"dtype": edges}),
        layers=converted.layers,
        keep_float=prepared.keep_float,
        scheme=scheme,
    )
    assert "CONV_2D" not in file.float_kinds
    assert least_db(model, file.run(X)[0]) > 25


@pytest.mark.parametrize(
    "scheme", [tensorrt_files.ORIN.quantization, PORTABLE], ids=["own", "portable"]
)
def test_tensorrt_file(scheme: QuantizationScheme, tmp_path: Path) -> None:
    model, (prepared, _) = joined(scheme)
    file = tensorrt_files.exported(convert(prepared, integers=False), tmp_path)
    assert least_db(model, file.run(X)[0]) > 25
