"""The memory that a model takes on a device."""

from typing import Annotated

from pydantic import Field

from edgecompress.spec.base import Spec

Bytes = Annotated[int, Field(ge=0, le=1 << 50)]
"""No device has a pebibyte."""


class MemoryUse(Spec):
    """One file in a fresh process where nothing is timed, above the runtime alone.

    The runtime alone is the same process when it has loaded the runtime and run a model of one
    operator in it. RSS is what is resident; PSS leaves others their shares of what they have too.
    Pages of code that the runtime reads from its libraries meanwhile are its own, and in none.
    """

    runtime_rss_bytes: Bytes
    """The runtime alone, Python and the inputs with it."""
    runtime_pss_bytes: Bytes | None = None
    """The same without code; None, as all PSS below: the system does not tell it."""
    runtime_was_used: bool
    """False: it was loaded only, because it makes nothing once for all models."""
    loaded_rss_bytes: Bytes
    """The model, loaded and not yet run: weights as the kernels want them, and its graph."""
    peak_rss_bytes: Bytes
    """The most, while it was loaded and in the first inferences: activations too."""
    loaded_pss_bytes: Bytes | None = None
    peak_pss_bytes: Bytes | None = None
    """The most that was seen, by a look every 2 ms: a shorter peak may be missed."""
    arena_bytes: Bytes | None = None
    """What the runtime itself says that it keeps for tensors; None: it does not say."""
    arena_used_bytes: Bytes | None = None
    """The most of that in use at once; None: it does not say."""
    arena_of: str | None = None
    """What exactly: 'ONNX Runtime's arena for tensors, weights among them'."""
    model_sha256: str | None = None
    """The hash of the file that ran, read by the agent."""
