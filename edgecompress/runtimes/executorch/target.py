"""`runtime: {name: executorch}` of a target."""

from typing import Literal

from edgecompress.spec.runtime import Capabilities, RuntimeSection
from edgecompress.spec.scheme import Activations


class ExecuTorchSection(RuntimeSection):
    name: Literal["executorch"]

    capabilities = Capabilities(
        activations=(
            Activations(dtype="int8", scheme="affine"),
            Activations(dtype="int8", scheme="symmetric"),
        ),
        # A file is lowered to XNNPACK once, and has no plain kernels beside it.
        reference_kernels=False,
    )

    @property
    def label(self) -> str:
        return f"{super().label}, xnnpack"
