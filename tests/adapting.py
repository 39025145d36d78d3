"""What the tests of adapters have in common: examples run as a user runs them, without a board."""

import functools
import importlib
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import deploying
import pytest
import torch

from edgecompress import api
from edgecompress.task.suppression import survivors

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


def import_torchvision() -> None:
    """PyPI's is a CUDA build, whose operators do not load beside torch's CPU build. The one that
    ultralytics calls is written in Python here; the others are declared, so that it loads.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    declared = False
    while True:
        try:
            loaded = importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            declared = True
            if missing[1] == "nms":
                library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
                library.impl("nms", _nms, "CPU")
            else:
                library.define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
        else:
            break
    if declared:
        # It asks whether its library was loaded, before each call.
        loaded.ops.boxes._assert_has_ops = lambda: None
        _KEPT.append(library)


_KEPT: list[Any] = []
"""Operators are declared as long as their library lives."""


def _nms(boxes: torch.Tensor, scores: torch.Tensor, most: float) -> torch.Tensor:
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    return survivors(boxes, scores, labels, most)
