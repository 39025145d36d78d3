"""Installed packages: their versions, and which one it was that could not be imported."""

import traceback
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec

_OURS = "edgecompress"
_LIBRARIES = ("site-packages", "dist-packages")


@cache
def version_of(module: str) -> str | None:
    """The version of the distribution that brings a top-level module; None where none does."""
    try:
        return version(module)  # nearly all are named like their module; "_" and "-" are one
    except PackageNotFoundError:
        pass
    if find_spec(module) is None:
        return None
    # Reads the file lists of all that is installed, which takes a tenth of a second.
    names = packages_distributions().get(module, ())
    return ", ".join(sorted(version(name) for name in names)) or None


def misfit(error: BaseException) -> str | None:
    """'torchvision 0.20.1 cannot be imported beside torch 2.13.0', when `error` ended the import
    of an installed package; None when it did not, or when a package is just not there.
    """
    name = None if isinstance(error, ModuleNotFoundError) else _imported(error)
    if name is None:
        return None
    beside = "" if name == "torch" else f" beside {_named('torch')}"
    return f"{_named(name)} cannot be imported{beside}; install versions that fit one another"


def _imported(error: BaseException) -> str | None:
    """The innermost package that was being imported."""
    name = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name != "<module>":
            continue
        importing = str(frame.f_globals["__name__"]).partition(".")[0]
        if importing == _OURS:
            # It lacks a name that this release of edgecompress needs.
            lacks = error.name if isinstance(error, ImportError) else None
            name = lacks and lacks.partition(".")[0]
        # What a library imports is a library, wherever it lies.
        elif name or any(folder in frame.f_code.co_filename for folder in _LIBRARIES):
            name = importing
    return None if name == _OURS else name


def _named(module: str) -> str:
    found = version_of(module)
    return module if found is None else f"{module} {found}"
