"""`runtime: {name: openvino}` of a target."""

from typing import Literal

from edgecompress.spec.runtime import Capabilities, RuntimeSection
from edgecompress.spec.scheme import Activations


class OpenVinoSection(RuntimeSection):
    name: Literal["openvino"]
    device: Literal["cpu", "gpu", "npu"] = "cpu"
    """Which of OpenVINO's devices runs the files; whether the board has it is asked there."""

    capabilities = Capabilities(
        activations=(
            Activations(dtype="uint8", scheme="affine"),
            Activations(dtype="int8", scheme="affine"),
            Activations(dtype="int8", scheme="symmetric"),
        ),
        outputs=("int8", "as_read"),
        # As far as the device has them, which is asked on the board.
        float_dtypes=("float32", "float16", "bfloat16"),
        # oneDNN's kernels add 128 to int8 activations, and multiply uint8.
        saturates_without_vnni=("uint8", "int8"),
    )
