"""One small model per construct that pruning, quantising and exporting must cope with."""

import torch
from torch import Tensor, nn
from torch.nn import functional

Sample = tuple[nn.Module, tuple[Tensor, ...]]


class Dense(nn.Module):
    """DenseNet-like: each layer reads all before it, after a batch norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(32)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(32, 16, 3, padding=1)]
        )
        self.depthwise = nn.Conv2d(48, 48, 3, padding=1, groups=48)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(norm(x).relu())], dim=1)
        return self.head(self.depthwise(x).relu().mean((2, 3)))


class Decoder(nn.Module):
    """Transposed convolutions up to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, 2, 1)
        self.up = nn.ConvTranspose2d(16, 16, 2, 2)
        self.norm = nn.BatchNorm2d(16)
        self.out = nn.ConvTranspose2d(16, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.up(self.down(x).relu())).relu())


class TwoInputs(nn.Module):
    """An image and a vector; class scores and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(3, 16, 3, 2, 1)
        self.vector = nn.Linear(5, 16)
        self.merge = nn.Linear(32, 32)
        self.scores = nn.Linear(32, 4)
        self.embedding = nn.Linear(32, 8)

    def forward(self, image: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.image(image).relu().mean((2, 3))
        merged = self.merge(torch.cat([seen, self.vector(vector).relu()], dim=1)).relu()
        return self.scores(merged), self.embedding(merged)


class Transformer(nn.Module):
    """A ViT block: patches, attention by hand, layer norms, an MLP."""

    def __init__(self, dim: int = 16, heads: int = 2, hidden: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(3, dim, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 16, dim) * 0.1)
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        x = x + self._attend(self.norm1(x))
        x = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return self.head(x.mean(1))

    def _attend(self, x: Tensor) -> Tensor:
        n, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5).softmax(-1)
        return self.project((weights @ v).transpose(1, 2).reshape(n, tokens, dim))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc_in = nn.Linear(6, 16)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.fc1 = nn.Linear(16, 32)
        self.fc2 = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.gru(self.fc_in(x).relu())
        return self.fc2(self.fc1(hidden[:, -1]).relu())


class SharedModule(nn.Module):
    """`twice` is called two times; `free` is not shared."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.twice = nn.Conv2d(16, 16, 3, padding=1)
        self.free = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.stem(x).relu()).relu()).relu()
        return self.head(self.free(x).relu().mean((2, 3)))


class TiedWeights(nn.Module):
    """Encoder and decoder share one weight; `middle` has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(16, 16)
        self.hidden = nn.Linear(16, 32)
        self.middle = nn.Linear(32, 16)
        self.decode = nn.Linear(16, 16)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.middle(self.hidden(self.encode(x).relu()).relu()).relu())


class FunctionalWeight(nn.Module):
    """A bare parameter used as the weight of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.conv = nn.Conv2d(16, 24, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(10, 24) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.stem(x).relu()).relu().mean((2, 3))
        return functional.linear(x, self.weight)


class Gated(nn.Module):
    """GLU: the first half of the channels times the sigmoid of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(16, 1, 1))
        self.mix = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, dim=1)
        x = value * torch.sigmoid(gate) * self.scale
        return self.head(self.mix(x).relu().mean((2, 3)))


class ChannelSoftmax(nn.Module):
    """Softmax over the channels of `mixed`; those of `plain` are free."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 16, 3, padding=1)
        self.mixed = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mixed(self.plain(x).relu()).softmax(1).mean((2, 3)))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc_in = nn.Linear(6, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True)
        self.fc1 = nn.Linear(16, 32)
        self.fc2 = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.fc_in(x).relu())
        return self.fc2(self.fc1(hidden[:, -1]).relu())


class Text(nn.Module):
    """Token ids through an embedding and torch's own encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(ids)).mean(1))


def densenet() -> Sample:
    return Dense(), (torch.randn(1, 3, 8, 8),)


def decoder() -> Sample:
    return Decoder(), (torch.randn(1, 3, 8, 8),)


def conv1d() -> Sample:
    model = nn.Sequential(
        nn.Conv1d(4, 16, 5, padding=2),
        nn.BatchNorm1d(16),
        nn.PReLU(16),
        nn.Conv1d(16, 24, 5, 2, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(24, 6),
    )
    return model, (torch.randn(1, 4, 32),)


def flatten_linear() -> Sample:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 16, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    return model, (torch.randn(1, 1, 8, 8),)


def two_inputs() -> Sample:
    return TwoInputs(), (torch.randn(1, 3, 8, 8), torch.randn(1, 5))


def transformer() -> Sample:
    return Transformer(), (torch.randn(1, 3, 16, 16),)


def recurrent() -> Sample:
    return Recurrent(), (torch.randn(1, 7, 6),)


def lstm() -> Sample:
    return Lstm(), (torch.randn(1, 7, 6),)


def text() -> Sample:
    return Text(), (torch.randint(0, 20, (1, 9)),)


def shared_module() -> Sample:
    return SharedModule(), (torch.randn(1, 3, 8, 8),)


def tied_weights() -> Sample:
    return TiedWeights(), (torch.randn(1, 16),)


def functional_weight() -> Sample:
    return FunctionalWeight(), (torch.randn(1, 3, 8, 8),)


def gated() -> Sample:
    return Gated(), (torch.randn(1, 3, 8, 8),)


def channel_softmax() -> Sample:
    return ChannelSoftmax(), (torch.randn(1, 3, 8, 8),)


def layer_norm() -> Sample:
    """Layer norm over the hidden features of the first layer, not of the second."""
    model = nn.Sequential(
        nn.Linear(8, 16),
        nn.LayerNorm(16),
        nn.ReLU(),
        nn.Linear(16, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
    )
    return model, (torch.randn(1, 8),)
