"""The declaration is in the file of every format, and what is not one is refused with the task."""

import json
from pathlib import Path

import pytest
import torch
from declared_files import DECLARED, NEEDS, DeclaredFiles
from onnx_models import GraphBuilder
from torch import nn

from edgecompress.errors import ArtifactError, TaskError
from edgecompress.formats.metadata import PREPROCESSING_KEY
from edgecompress.pipeline.formats import describe_file
from edgecompress.push.documents import Manifest
from edgecompress.spec.base import parse
from edgecompress.spec.preprocessing import AudioPreprocessing, ImagePreprocessing
from edgecompress.task import Task
from edgecompress.task.load import original_model

SOUND = AudioPreprocessing(sampling_rate_hz=16000, samples=192, normalise="rms")


@pytest.mark.parametrize("name", NEEDS)
def test_every_format_keeps_it(name: str, declared_files: DeclaredFiles) -> None:
    written = declared_files(name)
    assert written.preprocessing == DECLARED
    assert describe_file(written.path).preprocessing == DECLARED


def test_a_sound_is_kept_in_a_file_and_in_a_manifest(tmp_path: Path) -> None:
    g = GraphBuilder()
    g.input("x", (1, 192))
    g.node("Relu", ["x"], "y")
    g.output("y", (1, 192))
    path = g.save(tmp_path / "m.onnx", metadata={PREPROCESSING_KEY: SOUND.model_dump_json()})
    assert describe_file(path).preprocessing == SOUND
    manifest = Manifest(
        file="model.onnx",
        format="onnx",
        sha256="0" * 64,
        size_bytes=1,
        target="local",
        recipe_digest="",
        inputs=(),
        outputs=(),
        preprocessing=SOUND,
    )
    again = parse(Manifest, json.loads(manifest.stored()[0]), "manifest")
    assert again == manifest
    assert again.id == manifest.id
    for told, words in (
        ({"kind": "smell"}, "kind is not known; known: image, audio"),
        ({"kind": "audio", "samples": 0}, "metadata 'edgecompress.preprocessing'"),
        ([], "metadata 'edgecompress.preprocessing'"),
    ):
        g.save(path, metadata={PREPROCESSING_KEY: json.dumps(told)})
        with pytest.raises(ArtifactError, match=words):
            describe_file(path)


class Pictures(Task):
    """Declares what `declared` is."""

    declared: object = None

    def model(self) -> nn.Module:
        return nn.Conv2d(3, 2, 3)

    def example_inputs(self) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(1, 3, 8, 8),)

    def preprocessing(self) -> ImagePreprocessing | None:
        return self.declared  # type: ignore[return-value]  # some are wrong

    train_data = eval_data = metric = loss = None  # type: ignore[assignment]  # never asked


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"size": [8, 8]}, "give an ImagePreprocessing, an AudioPreprocessing, a"),
        (SOUND, r"a float input of \[1, 192\], and example_inputs\(\) gives"),
        (ImagePreprocessing(size=(8, 9)), r"a float input of \[1, 3, 8, 9\], and example_inputs"),
        (ImagePreprocessing(size=(8, 8), colours="gray"), r"a float input of \[1, 1, 8, 8\]"),
    ],
)
def test_what_does_not_fit_the_example_is_refused(declared: object, words: str) -> None:
    task = Pictures()
    task.declared = DECLARED
    assert isinstance(original_model(task), nn.Module)
    task.declared = declared
    with pytest.raises(TaskError, match=words):
        original_model(task)
