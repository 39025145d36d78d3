"""One stage by itself: done once, from what it depends on, with the same random numbers."""

from pathlib import Path

import pytest
import torch

from edgecompress.pipeline.stages import Output, Stages
from edgecompress.progress import SilentProgress
from edgecompress.store import Store


class Drawing:
    """A stage whose work draws a number; how often it was done, and in which folder."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "runs")
        self.folders: list[Path] = []

    def stages(self, seed: int = 0) -> Stages:
        run = self.store.start_run("tiny", "0" * 64)
        return Stages(self.store, run, SilentProgress(), seed)

    def work(self, work_dir: Path) -> Output:
        self.folders.append(work_dir)
        file = work_dir / "weights"
        file.write_bytes(b"12")
        drawn = torch.rand(()).item()
        return Output({"drawn": drawn}, {"weights": file, "notes": b"3"})


@pytest.fixture
def drawing(tmp_path: Path) -> Drawing:
    return Drawing(tmp_path)


def test_what_was_done_is_not_done_again(drawing: Drawing) -> None:
    first, second = drawing.stages(), drawing.stages()
    record = first.run("draw", {"of": 1}, drawing.work)
    assert second.run("draw", {"of": 1}, drawing.work) == record
    assert len(drawing.folders) == 1
    assert [(stage.name, stage.cached) for stage in first.done] == [("draw", False)]
    assert [(stage.name, stage.cached) for stage in second.done] == [("draw", True)]
    assert drawing.store.path(record.blobs["weights"]).read_bytes() == b"12"
    assert drawing.store.path(record.blobs["notes"]).read_bytes() == b"3"
    # A report names the libraries of what it found, as of what it did.
    assert first.versions == second.versions != {}


def test_what_depends_on_something_else_is(drawing: Drawing) -> None:
    stages = drawing.stages()
    keys = {
        stages.run(name, {"of": of}, drawing.work, also).key
        for name, of, also in (
            ("draw", 1, ()),
            ("draw", 2, ()),
            ("draw again", 1, ()),
            ("draw", 1, ("onnx",)),
        )
    }
    assert len(keys) == len(drawing.folders) == 4


def test_what_ran_before_changes_no_random_number(drawing: Drawing) -> None:
    drawn = []
    for of in (1, 2):
        torch.rand(of)
        drawn.append(drawing.stages().run("draw", {"of": of}, drawing.work).result["drawn"])
    drawn.append(drawing.stages(seed=1).run("draw", {"of": 3}, drawing.work).result["drawn"])
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_fails_is_not_remembered(drawing: Drawing) -> None:
    def fail(_: Path) -> Output:
        raise ValueError("out of luck")

    stages = drawing.stages()
    for _ in range(2):
        with pytest.raises(ValueError, match="out of luck"):
            stages.run("draw", {}, fail)
    assert stages.done == []
