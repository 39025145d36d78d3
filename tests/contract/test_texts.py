"""Texts: what a file declares of its tokenizer, and the mistakes that applications make with it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto
from onnx_models import GraphBuilder
from torch import Tensor, nn

from edgecompress import SequenceTask
from edgecompress.contract import text
from edgecompress.contract.reference import Numbers
from edgecompress.errors import ArtifactError, SpecError, TaskError
from edgecompress.formats.metadata import PREPROCESSING_KEY
from edgecompress.pipeline.contract import check_app, run_on
from edgecompress.progress import SilentProgress
from edgecompress.spec.base import parse
from edgecompress.spec.preprocessing import TextPreprocessing, TextSample
from edgecompress.task.load import original_model

SAMPLES = (
    TextSample(text="Good morning", tokens=(7, 8, 9)),
    TextSample(text="Überall ist es\nbesser", tokens=tuple(range(11, 23))),
)
DECLARED = TextPreprocessing(
    tokenizer="words-v1",
    sha256="ab" * 32,
    length=8,
    inputs=("tokens", "mask", "zeros"),
    begins=(1,),
    ends=(2,),
    samples=SAMPLES,
)
SHORT, LONG = [1, 7, 8, 9, 2, 0, 0, 0], [1, 11, 12, 13, 14, 15, 16, 2]
ZEROS, ONES = [0] * 8, [1] * 8
RIGHT = [[SHORT, [1] * 5 + [0] * 3, ZEROS], [LONG, ONES, ZEROS]]
MISTAKES = {
    "the end of a longer text is kept, not the start": [
        RIGHT[0],
        [[1, *range(17, 23), 2], ONES, ZEROS],
    ],
    "padded at the start, not at the end": [
        [[0, 0, 0, 1, 7, 8, 9, 2], [0] * 3 + [1] * 5, ZEROS],
        RIGHT[1],
    ],
    "padded with token 3, not with 0": [
        [[1, 7, 8, 9, 2, 3, 3, 3], RIGHT[0][1], ZEROS],
        RIGHT[1],
    ],
    "the special tokens at the beginning are missing": [
        [[7, 8, 9, 2, 0, 0, 0, 0], [1] * 4 + [0] * 4, ZEROS],
        [[*range(11, 18), 2], ONES, ZEROS],
    ],
    "the special tokens at the end are missing": [
        [[1, 7, 8, 9, 0, 0, 0, 0], [1] * 4 + [0] * 4, ZEROS],
        [[1, *range(11, 18)], ONES, ZEROS],
    ],
    "a longer text is cut when its special tokens are there, and loses some": [
        RIGHT[0],
        [[1, *range(11, 18)], ONES, ZEROS],
    ],
    "the mask is 1 for padding and 0 for tokens": [
        [SHORT, [0] * 5 + [1] * 3, ZEROS],
        [LONG, ZEROS, ZEROS],
    ],
    "the mask is 1 for padding, too": [[SHORT, ONES, ZEROS], RIGHT[1]],
}


def numbers(given: list[list[list[int]]]) -> list[Numbers]:
    return [np.array(each, np.float64) for each in given]


def test_what_is_declared_is_right() -> None:
    assert [text.rows(sample.tokens, DECLARED) for sample in SAMPLES] == RIGHT
    found = text.departure(numbers(RIGHT), DECLARED)
    assert (found.is_right, found.mistakes, found.told) == (True, (), "as declared")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_alone(mistake: str) -> None:
    found = text.departure(numbers(MISTAKES[mistake]), DECLARED)
    assert not found.is_right
    assert found.mistakes == (mistake,)


def test_another_tokenizer_is_told_by_the_first_token_that_differs() -> None:
    other = [[[1, 7, 5, 9, 2, 0, 0, 0], *RIGHT[0][1:]], RIGHT[1]]
    found = text.departure(numbers(other), DECLARED)
    assert (found.is_right, found.mistakes) == (False, ())
    assert (
        "text 1: its tokens at place 2 is 5, and must be 8; is the tokenizer 'words" in found.told
    )
    shorter = text.departure([np.zeros((3, 4)), np.zeros((3, 4))], DECLARED)
    assert "its shape is [3, 4], and the file's inputs are [3, 8]" in shorter.told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "no"}, "sha256"),
        ({"samples": []}, "samples"),
        ({"inputs": ["mask"]}, "must have 'tokens' once"),
        ({"length": 2}, "leaves no room"),
    ],
)
def test_what_fits_together_is_checked(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(TextPreprocessing, {**DECLARED.model_dump(mode="json"), **changes}, "here")


def written(folder: Path, declared: TextPreprocessing = DECLARED) -> Path:
    """A file that puts out its inputs, so that what it was given is seen."""
    g = GraphBuilder()
    for name in ("tokens", "mask", "types"):
        g.input(name, (1, 8), TensorProto.INT64)
        g.node("Identity", [name], f"{name}_out")
        g.output(f"{name}_out", (1, 8), TensorProto.INT64)
    return g.save(folder / "m.onnx", metadata={PREPROCESSING_KEY: declared.model_dump_json()})


def test_a_file_is_run_and_an_application_held_to_it(tmp_path: Path) -> None:
    file = written(tmp_path)
    given = tmp_path / "hello.txt"
    given.write_bytes(SAMPLES[1].text.encode() + b"\n")
    ran = run_on(file, given, SilentProgress())
    assert ran.noun == "text"
    assert [array.tolist() for array in ran.outputs.values()] == [[row] for row in RIGHT[1]]
    given.write_text("another")
    with pytest.raises(SpecError, match="names its tokenizer 'words-v1' and does not hold it"):
        run_on(file, given, SilentProgress())
    app = tmp_path / "app.py"
    app.write_text(
        "import sys\nimport numpy as np\nfrom pathlib import Path\n"
        f"known = {dict(zip([sample.text for sample in SAMPLES], RIGHT, strict=True))!r}\n"
        "rows = np.array(known[Path(sys.argv[1]).read_text('utf-8')])\n"
        "np.save(sys.argv[2], np.roll(rows[:, None], len(sys.argv) - 3, axis=-1))\n"
    )
    vectors = tmp_path / "vectors"
    right = check_app(file, f"{sys.executable} '{app}'", vectors, SilentProgress())
    assert right is not None
    assert right.is_right, right.told
    with np.load(vectors / "text-1-input.npz") as saved:
        assert saved["tokens"].tolist() == [SHORT]


def test_a_file_with_other_inputs_is_refused(tmp_path: Path) -> None:
    fewer = DECLARED.model_copy(update={"inputs": ("tokens", "mask")})
    with pytest.raises(ArtifactError, match="has 3 inputs, and its declaration is of 2"):
        check_app(written(tmp_path, fewer), "true", None, SilentProgress())


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(30, 4)

    def forward(self, tokens: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        return (self.tokens(tokens) * mask[..., None]).mean(1)  # type: ignore[no-any-return]


class Words(SequenceTask):
    classes = 4

    def __init__(self, example: tuple[Tensor, ...]) -> None:
        self.example = example

    def model(self) -> nn.Module:
        return Bag()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return self.example

    def preprocessing(self) -> TextPreprocessing:
        return DECLARED

    def train_data(self) -> list[object]:
        return []

    def eval_data(self) -> list[object]:
        return []


def test_a_task_declares_what_its_model_takes() -> None:
    tokens, mask = torch.zeros(1, 8, dtype=torch.int64), torch.ones(1, 8)
    original_model(Words((tokens, mask, tokens)))
    wrong = (
        r"declares inputs \['tokens', 'mask', 'zeros'\] of \[1, 8\], and example_inputs\(\) gives"
    )
    for example in ((tokens, mask), (mask, mask, tokens), (tokens[:, :4], mask, tokens)):
        with pytest.raises(TaskError, match=wrong):
            original_model(Words(example))
