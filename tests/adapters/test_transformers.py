"""A Trainer of Hugging Face's, with the real library."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapting import MOST_ADDED, added_lines, run_example
from torch import Tensor, nn

from edgecompress.adapters import Asked, parts_of
from edgecompress.artifact import sha256_of
from edgecompress.contract import text
from edgecompress.errors import TaskError
from edgecompress.spec.preprocessing import TextPreprocessing
from edgecompress.task.content import content_of
from edgecompress.task.given import Given
from edgecompress.task.load import original_model

transformers = pytest.importorskip(
    "transformers", reason="edgecompress[transformers] is not installed"
)
pytest.importorskip("accelerate", reason="edgecompress[transformers] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [{"input_ids": [2, 3, 4][:n], "label": n % 2, "text": "as it was"} for n in (1, 2, 3, 2)]


class Tokenizer:
    """As much of one as a collator needs."""

    pad_token_id = 7
    padding_side = "left"


def collator(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Pads on the left to the longest of a batch; whatever it does not know ends it."""
    width = max(len(row["input_ids"]) for row in rows)
    assert all(set(row) <= {"input_ids", "label"} for row in rows)
    missing = [width - len(row["input_ids"]) for row in rows]
    pairs = list(zip(rows, missing, strict=True))
    return {
        "attention_mask": torch.tensor([[0] * n + [1] * (width - n) for n in missing]),
        "input_ids": torch.tensor([[7] * n + row["input_ids"] for row, n in pairs]),
        "labels": torch.tensor([row["label"] for row in rows]),
    }


def without_mask(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {name: each for name, each in collator(rows).items() if name != "attention_mask"}


def without_labels(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {name: each for name, each in collator(rows).items() if name != "labels"}


class Net(nn.Module):
    """Means of embeddings, in a ModelOutput; the mask comes last, where nobody expects it."""

    def __init__(self, *, loses_logits: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 4)
        self.head = nn.Linear(4, 2)
        self.loses_logits = loses_logits

    def forward(self, input_ids: Tensor, unused: Any = None, attention_mask: Any = None,
                labels: Any = None) -> Any:  # fmt: skip
        mask = attention_mask[..., None].float()
        logits = self.head((self.embed(input_ids) * mask).sum(1) / mask.sum(1))
        kind = transformers.modeling_outputs
        if self.loses_logits:
            return kind.BaseModelOutput(last_hidden_state=logits)
        return kind.SequenceClassifierOutput(logits=logits)


def accuracy(prediction: Any) -> dict[str, float]:
    logits, labels = prediction
    return {"accuracy": float((logits.argmax(1) == labels).mean()), "count": len(labels)}


def trainer(tmp_path: Path, arguments: dict[str, Any] | None = None, **changes: Any) -> Any:
    given = {"model": Net(), "train_dataset": ROWS[:2], "eval_dataset": ROWS} | changes
    args = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", per_device_eval_batch_size=2,
        per_device_train_batch_size=2, **(arguments or {}),
    )  # fmt: skip
    given = {"data_collator": collator, "compute_metrics": accuracy, "args": args} | given
    made = transformers.Trainer(**given)
    made.processing_class = Tokenizer()
    return made


@pytest.mark.slow
def test_the_published_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = "with_transformers.py"
    assert len(added_lines(example)) == MOST_ADDED
    report = run_example(example, tmp_path / "project", monkeypatch)["report"]
    assert report.verdict.decision == "unmeasured"
    assert report.task.startswith("given:DistilBertForSequenceClassification-")
    assert report.baseline.metric.name == "accuracy"
    assert report.baseline.metric.samples == 300
    assert report.baseline.metric.value > 0.95
    assert report.candidate.metric.value > 0.9
    assert report.candidate.int8_op_fraction > 0.5


def tokenized(folder: Path) -> Any:
    """A tokenizer that was loaded from a file; [1] and [2] stand round each text."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "good": 4, "bad": 5, "very": 6}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    marks = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"}
    named = {f"{name}_token": mark for name, mark in marks.items()}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **named).save_pretrained(folder)
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def test_a_tokenizer_from_a_file_is_declared(tmp_path: Path) -> None:
    tokenizer = tokenized(tmp_path / "tokenizer")
    texts = ["good", "very very bad", "strange", "very good"]
    rows = [{**tokenizer(each), "label": n % 2} for n, each in enumerate(texts)]
    collate = transformers.DataCollatorWithPadding(tokenizer)
    made = trainer(
        tmp_path, train_dataset=rows, eval_dataset=rows, data_collator=collate, model=Net()
    )
    made.processing_class = tokenizer
    parts = parts_of(Asked(made))
    declared = parts.preprocessing
    assert isinstance(declared, TextPreprocessing)
    assert declared.sha256 == sha256_of(tmp_path / "tokenizer" / "tokenizer.json")
    # Rows that are not whole, because a word is unknown, are no samples.
    assert [sample.text for sample in declared.samples] == ["good", "very very bad"]
    assert (declared.begins, declared.ends, declared.length) == ((1,), (2,), 5)
    batches = list(Given(parts.model, parts.evaluate, scoring=parts.scoring).task().eval_data())
    (ids, mask), _ = batches[0]
    for row, sample in enumerate(declared.samples):
        assert text.rows(sample.tokens, declared) == [ids[row].tolist(), mask[row].tolist()]
    # One that was made by code has no file that an application could be held to.
    made.processing_class = Tokenizer()
    assert parts_of(Asked(made)).preprocessing is None


def test_what_is_found(tmp_path: Path) -> None:
    given = trainer(tmp_path)
    parts = parts_of(Asked(given))
    assert parts.evaluate is not None
    what = Given(parts.model, parts.evaluate, parts.train, scoring=parts.scoring)
    task = what.task()
    model, batches = original_model(task), list(task.eval_data())
    # All of one shape, padded as the tokenizer pads.
    assert [[list(x.shape) for x in inputs] for inputs, _ in batches] == [[[2, 3]] * 2] * 2
    (ids, mask), labels = batches[0]
    assert ids.tolist() == [[7, 7, 2], [7, 2, 3]]
    assert mask.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert labels.tolist() == [1, 0]
    short = collator([{k: row[k] for k in ("input_ids", "label")} for row in ROWS[:2]])
    assert model(ids, mask).allclose(given.model(**short).logits)
    assert task.loss(model(ids, mask), labels).requires_grad
    assert [len(inputs[0]) for inputs, _ in task.train_data()] == [2]
    metric = task.metric()
    assert (metric.higher_is_better, metric.is_share) == (True, True)
    for inputs, target in batches:
        task.update(metric, model(*inputs).detach(), target)
    right = [(model(*x).argmax(1) == y).float() for x, y in batches]
    assert metric.compute() == pytest.approx(torch.cat(right).mean().item())
    assert content_of(parts.scoring.metric) == content_of(parts_of(Asked(given)).scoring.metric)


@pytest.mark.parametrize(
    ("arguments", "numbers", "key", "higher"),
    [
        ({}, {"f1": 0.5, "accuracy": 0.5}, "accuracy", True),
        ({}, {"rmse": 2.0}, "rmse", False),
        ({"metric_for_best_model": "gain"}, {"gain": 2.0, "f1": 0.5}, "gain", True),
        ({"metric_for_best_model": "eval_cost", "greater_is_better": False}, {"cost": 2.0}, "cost",
         False),
    ],
)  # fmt: skip
def test_which_number_counts(
    tmp_path: Path, arguments: dict[str, Any], numbers: dict[str, float], key: str, higher: bool
) -> None:
    given = trainer(tmp_path, arguments, compute_metrics=lambda _: numbers)
    metric = parts_of(Asked(given)).scoring.metric
    assert (metric.key, type(metric).__name__, metric.higher_is_better) == (key, key, higher)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eval_dataset": None}, r"evaluate: the Trainer has no eval_dataset; give it one"),
        ({"eval_dataset": {"a": ROWS, "b": ROWS}}, r"evaluate: the Trainer has 2 data sets"),
        ({"eval_dataset": iter(ROWS)}, r"evaluate: list_iterator has no length; give a data set"),
        ({"data_collator": without_mask}, r"evaluate: batches of 2 and of 3 tokens came, without"),
        ({"data_collator": without_labels}, r"evaluate: a batch has no labels; it is a dict of"),
        ({"data_collator": lambda rows: 1 / 0}, r"evaluate: the Trainer's .*: ZeroDivisionError"),
        ({"model": Net(loses_logits=True)}, r"model: Net gives a BaseModelOutput of last_hidden"),
        ({"compute_metrics": lambda _: {"a": 1, "b": 2}}, r"metric: which of a, b counts is not"),
        ({"compute_metrics": lambda _: {"gain": 1}}, r"metric: whether more of 'gain' is better"),
        ({"compute_metrics": lambda _: 1 / 0}, r"metric: the Trainer's compute_metrics: ZeroDiv"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(TaskError, match=f"^{words}") as raised:
        parts_of(Asked(trainer(tmp_path, **changes)))
    assert "\n" not in str(raised.value)
