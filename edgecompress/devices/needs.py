"""What a target's runtime asks of a machine's packages; for a board and for this machine alike."""

from collections.abc import Mapping

from packaging.specifiers import SpecifierSet

from edgecompress.spec.base import Spec
from edgecompress.spec.target import RuntimeName, Target

RUNTIME_PACKAGES: dict[RuntimeName, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "tensorrt": ("tensorrt",),
}
"""Packages that run a target's files, the best first; `runtime.version` speaks of them."""


class Problem(Spec):
    text: str
    fix: str
    """A command where there is one, else what to do."""


def installed_runtime(target: Target, versions: Mapping[str, str]) -> str | None:
    """The package that runs the target's files, of those in `versions` (name to version)."""
    names = RUNTIME_PACKAGES[target.runtime.name]
    return next((name for name in names if name in versions), None)


def runtime_problem(target: Target, versions: Mapping[str, str], pip: str) -> Problem | None:
    """What is wrong with the runtime, of those in `versions`; `pip` is how it is called there."""
    found = installed_runtime(target, versions)
    package = found or RUNTIME_PACKAGES[target.runtime.name][0]
    wanted = target.runtime.version
    if found is None:
        text = f"{package} is missing"
    elif SpecifierSet(wanted).contains(versions[found], prereleases=True):
        return None
    else:
        text = f"{package} {versions[found]} is not {wanted}, which the target asks for"
    return Problem(text=text, fix=f"{pip} install '{package}{wanted}'")
