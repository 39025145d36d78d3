"""What a .pte says of itself: its tensors by name, and what edgecompress wrote into it."""

from collections.abc import Sequence
from pathlib import Path

from edgecompress.artifact import Artifact, TensorInfo, sha256_of
from edgecompress.errors import ArtifactError
from edgecompress.formats.metadata import (
    LINEAGE_KEY,
    check_scale,
    read_decoded,
    read_labels,
    read_object,
    read_preprocessing,
    read_strings,
)
from edgecompress.runtimes.executorch.model import Model, Node, Tensor
from edgecompress.runtimes.executorch.notes import INPUTS_KEY, OUTPUTS_KEY
from edgecompress.runtimes.executorch.ops import CONVERT
from edgecompress.runtimes.executorch.program import load


def describe(path: Path) -> Artifact:
    """What a .pte file is: its tensors by their names, its lineage, its digest.

    A float input that is only quantised, or a float output that was int8 before, also gets that
    scale and zero point; its dtype stays the float that the caller sees. The format has no names:
    a file that edgecompress did not write has inputs input0, input1, .. and outputs output0, ..

    Raises:
        ArtifactError: missing, a folder, no .pte, damaged, with free dimensions or several methods,
            or carrying notes that edgecompress did not write.

    """
    model = load(path)
    ends = _Ends(model)
    return Artifact(
        path=path,
        format="pte",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        inputs=tuple(
            _info(path, name, tensor, ends.quantised_as(tensor))
            for name, tensor in _named(path, model, INPUTS_KEY, "input", model.inputs)
        ),
        outputs=tuple(
            _info(path, name, tensor, ends.was_quantised_as(tensor))
            for name, tensor in _named(path, model, OUTPUTS_KEY, "output", model.outputs)
        ),
        lineage=read_object(path, model.notes, LINEAGE_KEY),
        labels=read_labels(path, model.notes),
        preprocessing=read_preprocessing(path, model.notes),
        decoded=read_decoded(path, model.notes),
    )


def _named(
    path: Path, model: Model, key: str, word: str, tensors: Sequence[Tensor]
) -> list[tuple[str, Tensor]]:
    names = read_strings(path, model.notes, key)
    if key not in model.notes:
        names = tuple(f"{word}{index}" for index in range(len(tensors)))
    if len(names) != len(tensors) or len(set(names)) != len(names):
        raise ArtifactError(
            f"{path}: note '{key}' does not name its {len(tensors)} {word}s; export it again"
        )
    return list(zip(names, tensors, strict=True))


def _info(path: Path, name: str, tensor: Tensor, steps: Tensor | None) -> TensorInfo:
    scale = steps.scales[0] if steps is not None and len(steps.scales) == 1 else None
    if scale is not None:
        check_scale(path, name, scale)
    return TensorInfo(
        name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=scale,
        zero_point=steps.zero_point if steps is not None and scale is not None else None,
    )


class _Ends:
    """What stands next to the inputs and outputs of a model."""

    def __init__(self, model: Model) -> None:
        self._outputs = set(model.outputs)
        self._writers = {tensor: node for node in model.nodes for tensor in node.outputs}
        self._readers: dict[Tensor, list[Node]] = {}
        for node in model.nodes:
            for tensor in node.inputs:
                self._readers.setdefault(tensor, []).append(node)

    def quantised_as(self, tensor: Tensor) -> Tensor | None:
        """What carries the steps that an input is quantised in, by the caller or by the file."""
        readers = self._readers.get(tensor, [])
        alone = len(readers) == 1 and tensor not in self._outputs
        if not tensor.scales and alone and _converts(readers[0]):
            return readers[0].outputs[0]
        return tensor if tensor.scales else None

    def was_quantised_as(self, tensor: Tensor) -> Tensor | None:
        """What carries the steps that an output was in before it became float."""
        writer = self._writers.get(tensor)
        if not tensor.scales and writer is not None and _converts(writer):
            return writer.inputs[0]
        return tensor if tensor.scales else None


def _converts(node: Node) -> bool:
    return node.op_type == CONVERT and bool(node.inputs and node.outputs)
