"""Which way to TensorRT a board has."""

from __future__ import annotations

import os
import shutil

from .builder_trtexec import TrtexecBuilder
from .builders import JETPACK, Builder
from .failure import Failure

TRTEXEC_FOLDER = "/usr/src/tensorrt/bin"
"""Where JetPack has it, which is not on PATH."""


def find_builder() -> Builder:
    """The Python package, else trtexec.

    Raises Failure: 'missing', when there is neither.
    """
    try:
        from .builder_python import PythonBuilder
    except ImportError as error:
        # Also where it is installed and a library of it is not: the message says which.
        why = str(error)
    else:
        return PythonBuilder()
    program = find_trtexec()
    if program is None:
        raise Failure(
            "missing",
            f"TensorRT is missing: {why}, and no trtexec on PATH or in {TRTEXEC_FOLDER}; {JETPACK}",
        )
    return TrtexecBuilder(program)


def find_trtexec() -> str | None:
    return shutil.which("trtexec", path=os.pathsep.join((_path(), TRTEXEC_FOLDER)))


def _path() -> str:
    return os.environ.get("PATH", os.defpath)
