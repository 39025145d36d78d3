"""A real headless Chromium, as the tests of report.html use it."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next((path for path in map(shutil.which, NAMES) if path), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
)

needs_chromium = pytest.mark.skipif(
    PROGRAM is None, reason="no chromium on PATH; scripts/install-test-tools.sh installs it"
)


@dataclass(frozen=True)
class Opened:
    dom: str
    """The document after it was loaded and its scripts ran."""
    console: list[str]
    """Every line that the page wrote to the console, errors and violations included."""


def open_page(page: Path, *flags: str) -> Opened:
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [PROGRAM, *FLAGS, *flags, f"--user-data-dir={profile}"]
        done = subprocess.run(
            [*command, "--dump-dom", page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    return Opened(done.stdout, re.findall(r"CONSOLE[:(]\d+\)?\] (.*)", done.stderr))
