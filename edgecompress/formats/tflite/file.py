"""What a TFLite file says of itself: its tensors by name, and what edgecompress wrote into it."""

from pathlib import Path

from edgecompress.artifact import Artifact, Layout, TensorInfo, sha256_of
from edgecompress.errors import ArtifactError
from edgecompress.formats.metadata import (
    LAYOUT_KEY,
    LINEAGE_KEY,
    check_scale,
    read_decoded,
    read_labels,
    read_object,
    read_preprocessing,
)
from edgecompress.formats.tflite.graph import Graph, Model, QParams, Tensor
from edgecompress.formats.tflite.reader import load

LAYOUTS: dict[str, Layout] = {"nchw": "nchw", "nhwc": "nhwc"}


def describe(path: Path) -> Artifact:
    """What a TFLite file is: its tensors by their names in the signature, its lineage, its digest.

    A float input that only a QUANTIZE reads, or a float output that a DEQUANTIZE writes, also gets
    that operator's scale and zero_point; its dtype stays the float that the caller sees.

    Raises:
        ArtifactError: missing, a folder, not TFLite, damaged, with several signatures, or carrying
            metadata that edgecompress did not write.
        RuntimeMissing: ai-edge-litert, which has the format's schema, is not installed.

    """
    model = load(path)
    graph = model.graph
    inputs, outputs = _names(path, model)
    layouts = _layouts(path, model)
    return Artifact(
        path=path,
        format="tflite",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        inputs=tuple(
            _tensor_info(path, name, tensor, _steps_in(graph, tensor), layouts.get(name))
            for name, tensor in zip(inputs, graph.inputs, strict=True)
        ),
        outputs=tuple(
            _tensor_info(path, name, tensor, _steps_out(graph, tensor))
            for name, tensor in zip(outputs, graph.outputs, strict=True)
        ),
        lineage=read_object(path, model.metadata, LINEAGE_KEY),
        labels=read_labels(path, model.metadata),
        preprocessing=read_preprocessing(path, model.metadata),
        decoded=read_decoded(path, model.metadata),
    )


def _names(path: Path, model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of inputs and outputs: the signature's, or the tensors' own where there is none."""
    if len(model.signatures) > 1:
        keys = ", ".join(f"'{signature.key}'" for signature in model.signatures)
        raise ArtifactError(
            f"{path}: has {len(model.signatures)} signatures ({keys}); export a file with one"
        )
    graph = model.graph
    for signature in model.signatures:
        if signature.graph == 0:
            return signature.inputs, signature.outputs
    return tuple(t.name for t in graph.inputs), tuple(t.name for t in graph.outputs)


def _tensor_info(
    path: Path,
    name: str,
    tensor: Tensor,
    steps: QParams | None,
    layout: Layout | None = None,
) -> TensorInfo:
    scale = zero_point = None
    if steps is not None and steps.scale.size == 1:
        scale, zero_point = float(steps.scale[0]), int(steps.zero_point[0])
        check_scale(path, name, scale)
    return TensorInfo(
        name=name,
        shape=tuple(
            f"{name}_dim{index}" if index in tensor.free else size
            for index, size in enumerate(tensor.shape)
        ),
        dtype=tensor.dtype,
        scale=scale,
        zero_point=zero_point,
        layout=layout,
    )


def _steps_in(graph: Graph, tensor: Tensor) -> QParams | None:
    """The steps that an input is quantised in, by the caller or by the file."""
    if tensor.qparams is not None:
        return tensor.qparams
    readers = [op for op in graph.operators if tensor in op.inputs]
    if len(readers) == 1 and readers[0].op_type == "QUANTIZE" and tensor not in graph.outputs:
        return readers[0].outputs[0].qparams
    return None


def _steps_out(graph: Graph, tensor: Tensor) -> QParams | None:
    if tensor.qparams is not None:
        return tensor.qparams
    for op in graph.operators:
        if tensor in op.outputs and op.op_type == "DEQUANTIZE" and op.inputs[0] is not None:
            return op.inputs[0].qparams
    return None


def _layouts(path: Path, model: Model) -> dict[str, Layout]:
    found = read_object(path, model.metadata, LAYOUT_KEY)
    unknown = [text for text in found.values() if text not in LAYOUTS]
    if unknown:
        raise ArtifactError(
            f"{path}: metadata '{LAYOUT_KEY}' has layout '{unknown[0]}'; known: nchw, nhwc"
        )
    return {name: LAYOUTS[text] for name, text in found.items()}
