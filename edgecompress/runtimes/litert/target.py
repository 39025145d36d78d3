"""`runtime: {name: litert}` of a target."""

from typing import Literal

from pydantic import model_validator

from edgecompress.spec.runtime import Capabilities, Edges, Positive, RuntimeSection
from edgecompress.spec.scheme import Activations

DelegateName = Literal["xnnpack", "nnapi", "gpu"]


class LitertSection(RuntimeSection):
    name: Literal["litert"]
    delegate: DelegateName
    """Who runs the operators."""
    api_level: Positive | None = None
    """Android's, which says what NNAPI takes; only with delegate nnapi."""

    capabilities = Capabilities(
        activations=(
            Activations(dtype="int8", scheme="affine"),
            Activations(dtype="int8", scheme="symmetric"),
        ),
        edges=(
            Edges(dtype="float32", layout="nchw"),
            Edges(dtype="float32", layout="nhwc"),
            Edges(dtype="int8", layout="nchw"),
            Edges(dtype="int8", layout="nhwc"),
        ),
        takes_integers=False,
    )

    @model_validator(mode="after")
    def _check_api_level(self) -> "LitertSection":
        if (self.delegate == "nnapi") != (self.api_level is not None):
            raise ValueError("api_level belongs to delegate nnapi, which needs one")
        return self

    @property
    def label(self) -> str:
        level = f" at API level {self.api_level}" if self.api_level else ""
        return f"{super().label}, {self.delegate}{level}"
