"""`runtime: {name: openvino}` of a target."""

from typing import Literal

from edgecompress.spec.runtime import Capabilities, RuntimeSection
from edgecompress.spec.scheme import Activations


class OpenVinoSection(RuntimeSection):
    name: Literal["openvino"]

    capabilities = Capabilities(
        activations=(
            Activations(dtype="uint8", scheme="affine"),
            Activations(dtype="int8", scheme="affine"),
            Activations(dtype="int8", scheme="symmetric"),
        ),
        # oneDNN's kernels add 128 to int8 activations, and multiply uint8.
        saturates_without_vnni=("uint8", "int8"),
    )
