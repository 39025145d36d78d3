"""An engine, which a device builds of a file: what is asked of it, and what the agent tells."""

from typing import Literal

from pydantic import Field

from edgecompress.spec.base import Many, Spec


class EngineFlags(Spec):
    """No defaults, because each can change what the engine computes or how fast."""

    fp16: bool
    """Let float layers run in float16. TensorRT 8 only; later releases take the graph's types."""
    sparse_weights: bool
    """Let 2:4 sparse kernels be chosen where the weights allow it."""
    strongly_typed: bool
    """Every tensor keeps the type that the graph gives it: TensorRT 10; 11 always, 8 never."""
    workspace_bytes: int = Field(ge=1)


class Engine(Spec):
    """A file on the device, which fits that device only."""

    engine: str
    """Its path there."""
    key: str
    """sha256 over the ONNX file, the TensorRT version, the GPU with its driver, and the flags."""
    built_with: str
    """Version of the runtime that built it, such as '10.3.0'."""
    gpu: str
    """Name, such as 'Orin'."""
    compute_capability: str
    """Such as '8.7'."""
    driver: str
    """Newest CUDA that the driver can do, such as '12.6'."""
    seconds: float
    """This time; next to nothing when reused."""
    reused: bool
    """It was there already, made from and for exactly the same."""
    how: Literal["python", "trtexec"]
    notes: Many[str]
    """What was not as asked, such as kernels passed over for lack of memory."""
