"""An application of the user's, started on a picture, a sound or a text: what it gives a file."""

import os
import shlex
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecompress.errors import SpecError

_APP_S = 120.0
_HEADER_BYTES = 64 << 10
_WIDEST_BYTES = 8
_LAST = 300
"""So many characters of what a failed application said are told."""


def tensor_of(app: str, given: Path, numbers: int) -> NDArray[np.generic]:
    """What an application writes as .npy for what it is given.

    Args:
        app: its command, split as a shell would, and run without one; it is given the picture,
            sound or text and the file to write as two more arguments.
        given: a PNG, a WAV or a text file.
        numbers: how many the file takes, which limits what is read.

    Raises:
        SpecError: it cannot be started, fails, takes too long, or writes no such file.

    """
    try:
        command = shlex.split(app)
    except ValueError as error:
        raise SpecError(f"--app {app}: cannot be split into arguments: {error}") from None
    if not command:
        raise SpecError("--app: is empty; give the command that starts your application")
    goal = given.with_name("input.npy")
    argv = [*command, str(given), str(goal)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_APP_S, check=False
        )
    except OSError as error:
        raise SpecError(f"--app {app}: cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SpecError(f"--app {app}: ran longer than {_APP_S:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-_LAST:].splitlines()
        raise SpecError(
            f"--app {app}: ended with exit code {done.returncode}: {said[-1] if said else 'silent'}"
        )
    return _read(goal, app, numbers)


def _read(path: Path, app: str, numbers: int) -> NDArray[np.generic]:
    wanted = "it must write the network's input there with numpy.save"
    if not path.is_file():
        raise SpecError(f"--app {app}: wrote no {path.name}; {wanted}: {os.fspath(path)}")
    most = _HEADER_BYTES + _WIDEST_BYTES * numbers * 4
    if path.stat().st_size > most:
        raise SpecError(
            f"--app {app}: wrote {path.stat().st_size:,} bytes, where the input has"
            f" {numbers:,} numbers; {wanted}"
        )
    try:
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
        values = array.astype(np.float64)
    except (OSError, ValueError, EOFError, TypeError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SpecError(f"--app {app}: wrote no readable .npy file: {text}; {wanted}") from None
    if not values.size:
        raise SpecError(f"--app {app}: wrote an empty array; {wanted}")
    return array
