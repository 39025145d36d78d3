"""What the tests of adapters have in common: examples run as a user runs them, without a board."""

import functools
import os
import re
import runpy
from pathlib import Path
from typing import Any

import deploying
import pytest

from edgecompress import api

EXAMPLES = Path(__file__).parents[1] / "examples"
MOST_ADDED = 3
"""Lines that make a library's own example one of edgecompress."""


def run_example(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the names of an example stand for after it ran in a project of its own. Its target
    `local` is a brief one that no device at hand has: what is made counts, not its speed.
    """
    deploying.unmeasured(folder)
    tiny = (folder / "targets" / "tiny.yaml").read_text()
    (folder / "targets" / "local.yaml").write_text(tiny.replace("name: tiny", "name: local"))
    quiet = functools.partial(api.compress, inventory=folder / "inventory.yaml", progress=False)
    monkeypatch.setattr(api, "compress", quiet)
    monkeypatch.chdir(folder)
    # Lightning and others set some of these for the processes that they would start.
    before = dict(os.environ)
    try:
        return runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        os.environ.clear()
        os.environ.update(before)


def added_lines(name: str) -> list[str]:
    """The lines of an example's code that are not its library's."""
    code = re.sub(r'\A""".*?"""', "", (EXAMPLES / name).read_text(), flags=re.DOTALL)
    return [line for line in code.splitlines() if re.search(r"edgecompress|report", line)]
