"""The call for notebooks, for real: a net that was trained here, in this process, to a verdict."""

import copy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import deploying
import pytest
import torch
from notebooks import Notebook
from torch import nn

import edgecompress
from edgecompress.api import Report
from edgecompress.api.results import shown_as
from edgecompress.errors import SpecError
from edgecompress.pipeline.formats import describe_file
from edgecompress.spec.preprocessing import ImagePreprocessing

MINMAX = {"quantize": {"mode": "ptq", "ranges": "minmax", "calibration_batches": 2}}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(notebook: Notebook) -> Report:
    """Plain int8; not to be changed."""
    return notebook.compress(recipe=MINMAX)


def cached(report: Report) -> dict[str, bool]:
    return deploying.cached({"stages": [stage.model_dump() for stage in report.stages]})


def test_to_a_verdict(notebook: Notebook, report: Report) -> None:
    assert report.verdict.decision == "unmeasured"
    assert report.candidate.metric.value > 0.9
    assert report.candidate.metric.samples == 256
    assert report.candidate.int8_op_fraction == 1.0
    assert report.file.is_file()
    assert report.page.is_file()
    assert report.task.startswith("given:TinyNet-")
    assert not any(cached(report).values())


def test_what_is_shown(report: Report) -> None:
    line = repr(report)
    assert line == str(report)
    assert line.startswith("<Report UNMEASURED tiny: speed not measured, accuracy ")
    assert line.endswith(" KiB>")
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.feed(report._repr_html_())
    assert not {tag for tag, _ in tags} & {"script", "style", "link", "img"}
    (link,) = (attributes["href"] for tag, attributes in tags if tag == "a")
    assert link.endswith(f"runs/{report.run}/report.html")


def test_the_model_stays_as_it_was(notebook: Notebook) -> None:
    model = copy.deepcopy(notebook.model)
    model.head.register_forward_pre_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    notebook.compress(model=model, recipe=MINMAX)
    assert model.training
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_another_recipe_reuses_the_original(notebook: Notebook, report: Report) -> None:
    other = {"quantize": {**MINMAX["quantize"], "calibration_batches": 3}}
    again = cached(notebook.compress(recipe=other))
    assert again["export original"]
    assert again["evaluate"]
    assert not again["quantize"]


def test_the_same_again_repeats_nothing(notebook: Notebook, report: Report) -> None:
    # Another object of the same content, and data of the same content from a function.
    model = copy.deepcopy(notebook.model).eval()
    again = notebook.compress(model=model, evaluate=lambda: iter(notebook.evaluate), recipe=MINMAX)
    assert all(cached(again).values())


def test_changed_data_is_seen(notebook: Notebook, report: Report) -> None:
    (images, labels), *rest = notebook.evaluate
    changed = [(images, labels.roll(1)), *rest]
    again = notebook.compress(evaluate=changed, recipe=MINMAX)
    assert not any(cached(again).values())
    assert again.task != report.task
    assert again.baseline.metric.value < report.baseline.metric.value


class Doubled(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.inner(x), "twice": 2 * self.inner(x)}


class Decoder(nn.Module):
    """Another structure than the model's."""

    def forward(self, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"scores": outputs["twice"] / 2, "best": outputs["scores"].amax(1)}


class Error:
    """Mean squared error of a part of what an application is given."""

    higher_is_better = False

    def __init__(self) -> None:
        self.seen: list[float] = []

    def update(self, outputs: Any, target: torch.Tensor) -> None:
        assert set(outputs) == {"scores", "best"}
        self.seen += ((outputs["scores"] - target) ** 2).mean(dim=1).tolist()

    def compute(self) -> float:
        return sum(self.seen) / len(self.seen)


def test_outputs_of_another_kind_and_what_is_made_of_the_file(notebook: Notebook) -> None:
    """A metric of one's own, as an object, and the other calls on the file that comes out."""
    model = Doubled(notebook.model)
    with torch.no_grad():
        teacher = copy.deepcopy(notebook.model).eval()
        data = [(images, teacher(images)) for images, _ in notebook.evaluate]
    recipe = {**MINMAX, "budgets": {"max_metric_drop": 5.0}}
    given = {"model": model, "train": data, "evaluate": data, "metric": Error, "decoder": Decoder()}
    pictures = ImagePreprocessing(size=tuple(data[0][0].shape[2:]), colours="gray")
    report = notebook.compress(**given, preprocessing=pictures, recipe=recipe, name="twice")
    assert report.task == "given:twice"
    assert report.baseline.metric.value < 1e-6
    assert repr(report).startswith("<Report UNMEASURED tiny: speed not measured, error 0.")
    artifact = describe_file(report.file)
    assert artifact.preprocessing == pictures
    assert artifact.decoded
    whole = nn.Sequential(model, Decoder())
    found = edgecompress.evaluate(report, data, metric=Error, model=whole)
    assert found.value == report.candidate.metric.value
    assert repr(found).startswith("<Evaluation error ")
    inspection = edgecompress.inspect(report.file)
    assert inspection.int8_op_fraction == 1.0
    assert "100.0 % of the MACs in int8" in repr(inspection)
    same = edgecompress.compare(report.file, report, data=data)
    assert (same.first_apart, same.samples) == (None, 32)
    assert "none is apart" in same._repr_html_()


INVENTORY = """\
devices:
  - {{id: shelf, target: tiny, transport: local, root: {root}}}
"""


def test_onto_a_device(notebook: Notebook, report: Report, tmp_path: Path) -> None:
    """Pushed from the report, whose data are still in memory; and not from a report of a file."""
    inventory, root = tmp_path / "devices.yaml", tmp_path / "shelf"
    inventory.write_text(INVENTORY.format(root=root))
    pushed = edgecompress.push(report, "shelf", inventory=inventory, progress=False)
    assert repr(pushed) == f"<PushedRun {report.run}: shelf success>"
    current = (root / "current" / "model.onnx").read_bytes()
    assert current == report.file.read_bytes()
    elsewhere = shown_as(Report, report)
    with pytest.raises(SpecError, match="was made in another process; compress again"):
        edgecompress.push(elsewhere, "shelf", inventory=inventory)
