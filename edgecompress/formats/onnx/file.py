"""Reads an ONNX file that may be anything into an Artifact, or says in one line why it cannot."""

from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir

from edgecompress.artifact import Artifact, TensorInfo, sha256_of
from edgecompress.errors import ArtifactError
from edgecompress.formats.metadata import (
    LINEAGE_KEY,
    check_scale,
    read_decoded,
    read_labels,
    read_object,
    read_preprocessing,
)
from edgecompress.formats.onnx.checks import check, check_functions, external_data
from edgecompress.formats.onnx.dtypes import dtype_name
from edgecompress.formats.onnx.values import (
    dequantizer,
    quantizers,
    readers,
    scale_and_zero_point,
)
from edgecompress.formats.reading import Kind, read_bytes

KIND = Kind("an ONNX file", ".onnx")


def describe(path: Path) -> Artifact:
    """What an ONNX file is: its tensors, its lineage, its digest.

    An input that goes straight into a QuantizeLinear, or an output that comes straight from a
    DequantizeLinear, also gets that node's scale and zero_point; its dtype stays the float that
    the caller sees.

    Raises:
        ArtifactError: missing, a folder, not ONNX, damaged, spread over several files, or
            carrying metadata that edgecompress did not write.

    """
    model = load(path)
    graph = model.graph
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    return Artifact(
        path=path,
        format="onnx",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        inputs=tuple(_tensor_info(path, value, _input_quantizer(value)) for value in inputs),
        outputs=tuple(_tensor_info(path, value, dequantizer(value)) for value in graph.outputs),
        lineage=read_object(path, model.metadata_props, LINEAGE_KEY),
        labels=read_labels(path, model.metadata_props),
        preprocessing=read_preprocessing(path, model.metadata_props),
        decoded=read_decoded(path, model.metadata_props),
    )


def load(path: Path) -> ir.Model:
    """Parse an ONNX file, with model-local functions inlined.

    Raises:
        ArtifactError: as for describe.

    """
    proto = _parse(path)
    _refuse_external_data(path, proto)
    # The libraries raise a dozen unrelated types on damaged files; all mean the same to a user.
    try:
        onnx.checker.check_model(proto)
        if proto.functions:
            check_functions(proto)
            proto = onnx.inliner.inline_local_functions(proto)
        model = ir.from_proto(proto)
        check(model)
    except Exception as error:  # the libraries' own types, see above
        detail = str(error).strip().split("\n")[0][:200]
        raise ArtifactError(
            f"{path}: not a valid ONNX model: {detail or type(error).__name__}; export it again"
        ) from None
    return model


def _parse(path: Path) -> onnx.ModelProto:
    content = read_bytes(path, KIND)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception:  # google.protobuf's DecodeError, whose package has no types
        raise ArtifactError(
            f"{path}: not an ONNX file, or cut short ({len(content)} bytes);"
            " export or copy it again"
        ) from None
    if not proto.ir_version or not proto.opset_import or not proto.graph.output:
        raise ArtifactError(
            f"{path}: not an ONNX model, or cut short: it has no graph with outputs and an opset;"
            " export or copy it again"
        )
    return proto


def _refuse_external_data(path: Path, proto: onnx.ModelProto) -> None:
    for tensor in external_data(proto):
        where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "?")
        raise ArtifactError(
            f"{path}: keeps its weights in another file ('{where}'); an artifact is one file:"
            " export with external_data=False"
        )


def _tensor_info(path: Path, value: ir.Value, converter: ir.Node | None) -> TensorInfo:
    if not isinstance(value.type, ir.TensorType) or value.shape is None:
        raise ArtifactError(
            f"{path}: '{value.name}' has no tensor type with a shape; export it with shapes"
        )
    shape = tuple(_dim(dim, f"{value.name}_dim{index}") for index, dim in enumerate(value.shape))
    step = scale_and_zero_point(converter) if converter is not None else None
    if step is not None:
        check_scale(path, value.name or "", step[0])
    return TensorInfo(
        name=value.name or "",
        shape=shape,
        dtype=dtype_name(value.dtype),
        scale=step[0] if step else None,
        zero_point=step[1] if step else None,
    )


def _dim(dim: int | ir.SymbolicDim, unnamed: str) -> int | str:
    # Some exporters write -1 for a free dimension.
    if isinstance(dim, int):
        return dim if dim >= 0 else unnamed
    return dim.value or unnamed


def _input_quantizer(value: ir.Value) -> ir.Node | None:
    """The QuantizeLinear that is the value's only reader."""
    found = quantizers(value)
    return found[0] if len(found) == 1 and len(readers(value)) == 1 else None
