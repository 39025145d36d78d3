"""Programs of this machine."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgecompress.errors import DeviceError, RuntimeMissing

TIMEOUT_S = 1800.0
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Not on a user's PATH everywhere."""


def find_tools(packages: Mapping[str, str], what_for: str) -> dict[str, str]:
    """Paths of programs, by name.

    Args:
        packages: name of the program to Debian's name of its package.
        what_for: begins the message.

    Raises:
        RuntimeMissing: some are not installed; with the command that installs them all.

    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    found = {name: shutil.which(name, path=path) for name in packages}
    missing = [name for name, program in found.items() if program is None]
    if missing:
        install = " ".join(dict.fromkeys(packages[name] for name in missing))
        raise RuntimeMissing(
            f"{what_for}: {', '.join(missing)} missing; run: sudo apt install {install}"
        )
    return {name: program for name, program in found.items() if program is not None}


def run_tool(argv: Sequence[str], advice: str = "") -> str:
    """What a program of this machine prints; `advice` ends the message when it fails.

    Raises:
        RuntimeMissing: it is not installed.
        DeviceError: it failed; with what it last said.

    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise RuntimeMissing(f"{argv[0]}: cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{argv[0]}: did not end within {TIMEOUT_S:g} s") from None
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        # apt and pip first say what happened, then what follows from it.
        errors = [line for line in said if line.startswith(("E: ", "ERROR: "))]
        silent = f"exit code {done.returncode}, and it said nothing"
        why = (*errors, *said[-1:], silent)[0]
        raise DeviceError(f"{Path(argv[0]).name} failed: {why}" + (f"; {advice}" if advice else ""))
    return done.stdout
