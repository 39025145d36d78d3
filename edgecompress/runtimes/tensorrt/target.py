"""`runtime: {name: tensorrt}` of a target."""

import re
from typing import Literal

from pydantic import model_validator

from edgecompress.spec.runtime import Capabilities, RuntimeSection
from edgecompress.spec.scheme import Activations

STRONGLY_TYPED_FROM = (10, 0)


class TensorRtSection(RuntimeSection):
    """Its rules differ from release to release, so `version` names one: '==10.3.*'."""

    name: Literal["tensorrt"]

    capabilities = Capabilities(
        activations=(Activations(dtype="int8", scheme="symmetric"),),
        joins=("free", "shared", "fused"),
        float_dtypes=("float32", "float16"),
        gpu=True,
        takes_integers=False,
        builds_engine=True,
        runs_here=False,
    )

    @model_validator(mode="after")
    def _check_version(self) -> "TensorRtSection":
        if not re.fullmatch(r"==\d+\.\d+\.\*", self.version):
            raise ValueError(f"version '{self.version}' of TensorRT must look like '==10.3.*'")
        return self

    @property
    def release(self) -> tuple[int, int]:
        """(major, minor) of the version."""
        major, minor = self.version.removeprefix("==").split(".")[:2]
        return int(major), int(minor)
