"""A small ViT on CIFAR-10 and a small BERT on made-up sentences, for benchmarks/encoders.py."""

from collections.abc import Iterator

import torch
from cifar10_task import Cifar10
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import SequenceTask

BATCH = 64
LENGTH, TOPICS, SYNONYMS = 64, 5, 4
TOKENS = 3 + 2 * TOPICS * SYNONYMS
"""Padding, two questions, and the words of two languages."""
SENTENCES, TEST = 2500, 1500
IMAGES, TEST_IMAGES = 6000, 2000
"""Enough to see what int8 costs; with all 48,000 an epoch takes minutes."""

Inputs = tuple[Tensor, Tensor]


class Layer(nn.Module):
    """A layer of an encoder: attention and two linear layers, each beside a shortcut.

    Args:
        width: of a token's vector.
        heads: that share the width.
        first: whether the norms stand before what they are of, as in a ViT, or behind, as in BERT.
        packed: whether one linear layer makes queries, keys and values, or each has its own.

    """

    def __init__(self, width: int, heads: int, *, first: bool, packed: bool) -> None:
        super().__init__()
        self.heads, self.first = heads, first
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs = nn.ModuleList(
            [nn.Linear(width, 3 * width)] if packed else [nn.Linear(width, width) for _ in range(3)]
        )
        self.output = nn.Linear(width, width)
        self.wider, self.narrower = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Vectors x [N, L, width]; mask [N, 1, 1, L] bool, True for what is seen."""
        if self.first:
            x = x + self._attended(self.norm1(x), mask)
            return x + self._mixed(self.norm2(x))
        x = self.norm1(x + self._attended(x, mask))
        y: Tensor = self.norm2(x + self._mixed(x))
        return y

    def _attended(self, x: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = x.shape
        parts = [linear(x) for linear in self.inputs]
        if len(parts) == 1:
            parts = list(parts[0].chunk(3, -1))
        query, key, value = (
            part.reshape(rows, length, self.heads, width // self.heads).transpose(1, 2)
            for part in parts
        )
        seen = functional.scaled_dot_product_attention(query, key, value, mask)
        y: Tensor = self.output(seen.transpose(1, 2).reshape(rows, length, width))
        return y

    def _mixed(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrower(functional.gelu(self.wider(x)))
        return y


class ViT(nn.Module):
    """DeiT's layers on images of 32 x 32: 64 patches and the token that answers."""

    def __init__(self, width: int = 96, depth: int = 4, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 65, width))
        self.layers = nn.ModuleList(
            Layer(width, heads, first=True, packed=True) for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for layer in self.layers:
            x = layer(x, None)
        scores: Tensor = self.head(self.norm(x)[:, 0])
        return scores


class Bert(nn.Module):
    """BERT's layers for sentences of 64 tokens, of which a mask says which are there."""

    def __init__(self, width: int = 128, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(TOKENS, width), nn.Embedding(LENGTH, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            Layer(width, heads, first=False, packed=False) for _ in range(depth)
        )
        self.pool, self.head = nn.Linear(width, width), nn.Linear(width, TOPICS)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Tokens ids [N, L] int64 and mask [N, L] int64, 1 for what is there."""
        x = self.norm(self.tokens(ids) + self.places.weight[: ids.shape[1]])
        seen = mask[:, None, None, :] > 0
        for layer in self.layers:
            x = layer(x, seen)
        scores: Tensor = self.head(torch.tanh(self.pool(x[:, 0])))
        return scores


class Images(Cifar10):
    """CIFAR-10 with the ViT."""

    def __init__(self, data: str) -> None:
        super().__init__(data, "", "", TEST_IMAGES)
        self.train_images, self.train_labels = (
            self.train_images[:IMAGES],
            self.train_labels[:IMAGES],
        )

    def model(self) -> nn.Module:
        return ViT()


class Sentences(SequenceTask):
    """The first token asks for a language; which topic has most of that language's words?"""

    classes = TOPICS

    def __init__(self) -> None:
        self.train, self.test = draw(SENTENCES, seed=0), draw(TEST, seed=1)

    def model(self) -> nn.Module:
        return Bert()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return self.test[0][:1], self.test[1][:1]

    def train_data(self) -> Iterator[tuple[Inputs, Tensor]]:
        return _batches(self.train, torch.randperm(SENTENCES))

    def eval_data(self) -> Iterator[tuple[Inputs, Tensor]]:
        return _batches(self.test, torch.arange(TEST))


def draw(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids and mask [count, LENGTH] int64, and topics [count]: of each language one topic has more
    words than the others, most often.
    """
    random = torch.Generator().manual_seed(seed)

    def whole(most: int, *shape: int) -> Tensor:
        return torch.randint(most, (count, *shape), generator=random)

    lengths = LENGTH // 3 + whole(LENGTH - LENGTH // 3 + 1)
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    topics, languages, asked = whole(TOPICS, 2), whole(2, LENGTH), whole(2)
    meant = torch.rand(count, LENGTH, generator=random) < 0.35
    topic = torch.where(meant, topics.gather(1, languages), whole(TOPICS, LENGTH))
    ids = 3 + (languages * TOPICS + topic) * SYNONYMS + whole(SYNONYMS, LENGTH)
    ids[:, 0] = 1 + asked
    return ids * mask, mask, topics[torch.arange(count), asked]


def _batches(data: tuple[Tensor, Tensor, Tensor], order: Tensor) -> Iterator[tuple[Inputs, Tensor]]:
    ids, mask, topics = data
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield (ids[chosen], mask[chosen]), topics[chosen]
