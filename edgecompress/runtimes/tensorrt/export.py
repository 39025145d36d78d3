"""ONNX for TensorRT: symmetric Q/DQ by the rules of the target's release, float weights before
their Q/DQ, and float16 in the graph where nothing is quantised.
"""

from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError
from edgecompress.formats.exportable import Exportable, without_levels
from edgecompress.formats.onnx.document import read_torch, write
from edgecompress.runtimes.tensorrt.float16 import to_float16
from edgecompress.runtimes.tensorrt.opset17 import OPSET_17, lower_to_17
from edgecompress.runtimes.tensorrt.passes import run_passes
from edgecompress.runtimes.tensorrt.rules import tensorrt_violations
from edgecompress.runtimes.tensorrt.target import TensorRtSection
from edgecompress.spec.measurement import DECODER

_OPSETS: tuple[tuple[tuple[int, int], int, int], ...] = (
    ((10, 9), 22, 10),
    ((10, 0), 20, 9),
    ((8, 5), OPSET_17, 8),
)
"""The first release of TensorRT for which this opset and IR version is written; newest first."""

# torch.onnx writes no older one.
_TORCH_OPSET = 18


def export(model: Exportable, path: Path) -> Artifact:
    """torch.export -> torch.onnx -> the passes of `passes` -> float16 -> checker -> file, and the
    file against every rule of the release.

    The reference execution of such a file is ONNX Runtime with graph optimisations disabled: Q/DQ
    is then computed in float, as it is written. With them, x86 kernels for int8 take over, and
    those saturate where the CPU has no VNNI.

    Raises:
        ModelError: as in `read_torch` and `write`, or the file breaks a rule of the release.

    """
    release = TensorRtSection.of(model.target).release
    model = without_levels(model, "files for TensorRT take floats")
    opset, ir_version = _format(release)
    document = read_torch(model, max(opset, _TORCH_OPSET))
    if model.scheme is not None:
        run_passes(document, model.layers)
        if model.target.float_dtype == "float16":
            to_float16(document, (DECODER, *model.float32_only))
    if opset == OPSET_17:
        lower_to_17(document)
    artifact = write(document, model, ir_version, path)
    sparse, dense = model.dense is not None, model.dense or ()
    broken = tensorrt_violations(path, release, sparse, dense)
    if broken:
        path.unlink()
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise ModelError(f"tensorrt {release[0]}.{release[1]}: {broken[0]}{more}")
    return artifact


def _format(release: tuple[int, int]) -> tuple[int, int]:
    """Opset and IR version.

    Raises:
        ModelError: the release is too old for what torch writes.

    """
    for since, opset, ir_version in _OPSETS:
        if release >= since:
            return opset, ir_version
    raise ModelError(
        f"tensorrt {release[0]}.{release[1]}: reads no opset that torch.onnx can be brought to"
        " (17 and later); use a target with TensorRT 8.5 or later"
    )
