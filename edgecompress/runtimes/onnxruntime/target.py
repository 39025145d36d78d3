"""`runtime: {name: onnxruntime}` of a target."""

from typing import Literal

from edgecompress.spec.runtime import Capabilities, RuntimeSection
from edgecompress.spec.scheme import Activations


class OnnxRuntimeSection(RuntimeSection):
    name: Literal["onnxruntime"]

    capabilities = Capabilities(
        activations=(
            Activations(dtype="uint8", scheme="affine"),
            Activations(dtype="int8", scheme="affine"),
            Activations(dtype="int8", scheme="symmetric"),
        ),
        outputs=("int8", "as_read"),
        saturates_without_vnni=("uint8",),
    )
