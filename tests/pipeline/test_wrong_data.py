"""Wrong data, labels, loaders, models, losses and metrics: one line that names the method, before
anything is trained.
"""

import json
import runpy
import sys
from pathlib import Path

import deploying
import pytest
from test_bad_input import assert_one_line

from edgecompress.errors import TaskError
from edgecompress.pipeline.loading import load
from edgecompress.spec.load import load_deploy
from edgecompress.store import Store

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "wrong_data.py"))
KINDS, project = SCRIPT["KINDS"], SCRIPT["project"]
LINES = json.loads(Path(__file__).with_suffix(".json").with_stem("wrong_data").read_text())
"""Only the beginning of what torch says in its own words."""

THROUGH_THE_COMMAND = (
    "half_inputs",
    "one_hot_labels",
    "dict_batch",
    "shuffled_evaluation",
    "model_on_meta",
    "loss_is_a_vector",
)
"""One of each part of a task: that the command prints what `test_the_line` has seen of all."""


def test_every_kind_has_its_line() -> None:
    assert LINES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = project(tmp_path, KINDS[kind])
    with pytest.raises(TaskError) as caught:
        load(load_deploy(folder / "deploy.yaml"), folder, Store(folder / "runs"))
    said, wanted = str(caught.value).replace(f"{folder}/", ""), LINES[kind]
    assert said[: len(wanted)] == wanted
    assert said == wanted or wanted.endswith("; on these it raises ")


@pytest.mark.parametrize("kind", THROUGH_THE_COMMAND)
def test_the_command(kind: str, tmp_path: Path, cli: deploying.Cli) -> None:
    folder = project(tmp_path / "project", KINDS[kind])
    done = cli.run(folder, "deploy", "local-onnxruntime")
    assert_one_line(done, 2, (LINES[kind],))
    # Nothing was trained.
    assert not list((folder / "runs" / "store").glob("*/*"))
