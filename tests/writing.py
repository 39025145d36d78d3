"""Ways to write into a tensor that is read later, each beside the same without a write."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Tried = Callable[[Tensor, Tensor], Tensor]
"""Sums of h and y, [N, 8, 6, 6] each, what two convolutions put out; y is not negative."""


def _then(read: Callable[[Tensor], object], *write: Callable[[Tensor, Tensor], object]) -> Tried:
    """Write, and read the tensor that was written into."""

    def tried(h: Tensor, y: Tensor) -> Tensor:
        for one in write:
            one(h, y)
        result = read(h)
        assert isinstance(result, Tensor)
        return result

    return tried


def _itself(h: Tensor) -> Tensor:
    return h


def _set(key: object, value: Callable[[Tensor, Tensor], Tensor | float]) -> Tried:
    def tried(h: Tensor, y: Tensor) -> Tensor:
        h[key] = value(h, y)
        return h

    return tried


def _add_to_half(h: Tensor, y: Tensor) -> Tensor:
    h[:, :4] += y[:, :4]
    return h


def _loop(h: Tensor, y: Tensor) -> Tensor:
    for channel in range(1, 8):
        h[:, channel] = 0.5 * h[:, channel - 1] + y[:, channel]
    return h


def _filled(h: Tensor, y: Tensor) -> Tensor:
    out = torch.zeros_like(h)
    out[:, :4] = h[:, 4:]
    out[:, 4:] = y[:, :4]
    return out


def _empty(h: Tensor, y: Tensor) -> Tensor:
    out = h.new_empty(h.shape)
    out[:, ::2], out[:, 1::2] = h[:, :4], y[:, :4]
    return out


def _read_before(h: Tensor, y: Tensor) -> Tensor:
    before = h + 0.0
    h.mul_(2)
    return before + h + y


def _part(h: Tensor, y: Tensor) -> Tensor:
    first, _ = h.chunk(2, 1)
    first.mul_(3)
    return h + y


def _unbound(h: Tensor, y: Tensor) -> Tensor:
    for part in h.unbind(1)[::2]:
        part.neg_()
    return h


def _split(h: Tensor, y: Tensor) -> Tensor:
    a, b, _ = h.split([2, 2, 4], 1)
    a.add_(b)
    return h + y


def _out(h: Tensor, y: Tensor) -> Tensor:
    result = torch.empty_like(h)
    torch.add(h, y, out=result)
    return result


def _out_itself(h: Tensor, y: Tensor) -> Tensor:
    torch.mul(h, y, out=h)
    return h + y


def _deep(h: Tensor, y: Tensor) -> Tensor:
    h.view(h.shape[0], 2, 4, 36).transpose(1, 2)[:, 1].squeeze(1)[..., 5:].mul_(4)
    return h + y


def _index_put(h: Tensor, y: Tensor) -> Tensor:
    h.index_put_((torch.arange(h.shape[0]), torch.tensor(3)), y[:, 0])
    return h


def _index_put_back(h: Tensor, y: Tensor) -> Tensor:
    return torch.cat([h[:, :3], y[:, :1], h[:, 4:]], 1)


def _image(h: Tensor, y: Tensor) -> Tensor:
    h[:, :, 1:-1, 1:-1] = y[:, :, 1:-1, 1:-1]
    return h


INSIDE = torch.zeros(6, 6)
INSIDE[1:-1, 1:-1] = 1


def _changed(h: Tensor, part: slice, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The channels in `part` changed."""
    channels = list(range(8))[part]
    return torch.cat(
        [change(h[:, c : c + 1]) if c in channels else h[:, c : c + 1] for c in range(8)], 1
    )


def _loop_apart(h: Tensor, y: Tensor) -> Tensor:
    channels = [h[:, 0]]
    for channel in range(1, 8):
        channels.append(0.5 * channels[-1] + y[:, channel])
    return torch.stack(channels, 1)


def _interleaved(h: Tensor, y: Tensor) -> Tensor:
    return torch.stack([h[:, :4], y[:, :4]], 2).flatten(1, 2)


def _masked(h: Tensor, y: Tensor) -> Tensor:
    return torch.where(y > 0.3, 0.0, h)


FORMS: dict[str, tuple[Tried, Tried]] = {
    # With a write, and without.
    "slice +=": (_add_to_half, lambda h, y: torch.cat([h[:, :4] + y[:, :4], h[:, 4:]], 1)),
    "add_": (_then(_itself, lambda h, y: h.add_(y)), lambda h, y: h + y),
    "sub_ alpha": (_then(_itself, lambda h, y: h.sub_(y, alpha=2)), lambda h, y: h - 2 * y),
    "augmented": (_read_before, lambda h, y: h + 2 * h + y),
    "column = 0": (
        _set((..., 0), lambda h, y: 0.0),
        lambda h, y: functional.pad(h[..., 1:], (1, 0)),
    ),
    "relu_ after a view": (
        _then(_itself, lambda h, y: torch.relu_(h.flatten(1))),
        lambda h, y: h.relu(),
    ),
    "relu_ of a view": (
        _then(_itself, lambda h, y: functional.relu(h[:, 2:6], inplace=True)),
        lambda h, y: torch.cat([h[:, :2], h[:, 2:6].relu(), h[:, 6:]], 1),
    ),
    "mul_ of a view": (
        _then(_itself, lambda h, y: h.view(h.shape[0], -1).mul_(2)),
        lambda h, y: 2 * h,
    ),
    "transposed": (
        _then(_itself, lambda h, y: h.transpose(1, 2).add_(y.transpose(1, 2))),
        lambda h, y: h + y,
    ),
    "a view made before": (
        lambda h, y: (h.flatten(2), h.add_(y))[0].unflatten(2, (6, 6)),
        lambda h, y: h + y,
    ),
    "contiguous is no copy": (
        _then(_itself, lambda h, y: h.contiguous().mul_(3)),
        lambda h, y: 3 * h,
    ),
    "out=": (_out, lambda h, y: h + y),
    "out= an operand": (_out_itself, lambda h, y: h * y + y),
    "copy_": (
        _then(_itself, lambda h, y: h[:, 2:5].copy_(y[:, 2:5])),
        lambda h, y: torch.cat([h[:, :2], y[:, 2:5], h[:, 5:]], 1),
    ),
    "copy_ of all": (_then(_itself, lambda h, y: h.copy_(y)), lambda h, y: y),
    "fill_": (
        _then(_itself, lambda h, y: h[:, 3].fill_(0.5)),
        lambda h, y: torch.cat([h[:, :3], 0 * h[:, :1] + 0.5, h[:, 4:]], 1),
    ),
    "zero_": (
        _then(_itself, lambda h, y: h[:, :2].zero_()),
        lambda h, y: torch.cat([0 * h[:, :2], h[:, 2:]], 1),
    ),
    "index_put_": (_index_put, _index_put_back),
    "a list of indices": (
        _set((slice(None), [1, 3]), lambda h, y: y[:, :2]),
        lambda h, y: torch.cat([h[:, :1], y[:, :1], h[:, 2:3], y[:, 1:2], h[:, 4:]], 1),
    ),
    "a mask": (
        lambda h, y: h.masked_fill_(y > 0.3, 0.0) + y,
        lambda h, y: _masked(h, y) + y,
    ),
    "a mask as index": (
        lambda h, y: (h.__setitem__(y > 0.3, 0.0), h)[1] + y,
        lambda h, y: _masked(h, y) + y,
    ),
    "clamp_": (
        _then(_itself, lambda h, y: h[:, 4:].clamp_(-0.5, 0.5)),
        lambda h, y: torch.cat([h[:, :4], h[:, 4:].clamp(-0.5, 0.5)], 1),
    ),
    "sigmoid_": (
        lambda h, y: (h[:, ::2].sigmoid_(), h)[1],
        lambda h, y: _changed(h, slice(0, 8, 2), torch.sigmoid),
    ),
    "a loop": (_loop, _loop_apart),
    "zeros, filled": (_filled, lambda h, y: torch.cat([h[:, 4:], y[:, :4]], 1)),
    "empty, every second": (_empty, _interleaved),
    "chunk": (_part, lambda h, y: torch.cat([3 * h[:, :4], h[:, 4:]], 1) + y),
    "unbind": (_unbound, lambda h, y: _changed(h, slice(0, 8, 2), torch.neg)),
    "split": (_split, lambda h, y: torch.cat([h[:, :2] + h[:, 2:4], h[:, 2:]], 1) + y),
    "views of views": (
        _deep,
        lambda h, y: h * (1 + 3 * _where_deep()) + y,
    ),
    "inside of an image": (_image, lambda h, y: h * (1 - INSIDE) + y * INSIDE),
    "diagonal": (
        _then(_itself, lambda h, y: h.diagonal(dim1=2, dim2=3).zero_()),
        lambda h, y: h * (1 - torch.eye(6)),
    ),
    "unsqueeze_": (
        lambda h, y: h.unsqueeze_(1).mul_(2).squeeze_(1).add_(y),
        lambda h, y: 2 * h + y,
    ),
    "swapped": (
        lambda h, y: _swap(h),
        lambda h, y: torch.cat([h[:, 4:], h[:, :4]], 1),
    ),
    "lerp_": (_then(_itself, lambda h, y: h.lerp_(y, 0.25)), lambda h, y: 0.75 * h + 0.25 * y),
    "scatter_": (
        _then(_itself, lambda h, y: h.index_copy_(1, torch.tensor([0, 5]), y[:, :2])),
        lambda h, y: torch.cat([y[:, :1], h[:, 1:5], y[:, 1:2], h[:, 6:]], 1),
    ),
    "index_add_": (
        _then(_itself, lambda h, y: h.index_add_(1, torch.tensor([0, 5]), y[:, :2])),
        lambda h, y: torch.cat(
            [h[:, :1] + y[:, :1], h[:, 1:5], h[:, 5:6] + y[:, 1:2], h[:, 6:]], 1
        ),
    ),
}


def _where_deep() -> Tensor:
    marked = torch.zeros(1, 8, 6, 6)
    marked.view(1, 2, 4, 36).transpose(1, 2)[:, 1].squeeze(1)[..., 5:].fill_(1)
    return marked


def _swap(h: Tensor) -> Tensor:
    kept = h[:, :4].clone()
    h[:, :4] = h[:, 4:]
    h[:, 4:] = kept
    return h


X = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))


class Writing(nn.Module):
    """All forms between convolutions, each with a result of its own.

    Args:
        side: 0: with writes; 1: without.
        names: of the forms.

    """

    def __init__(self, side: int, names: Iterable[str] = FORMS) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 4, 3)
        self.tried = [FORMS[name][side] for name in names]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.last(tried(self.first(x), self.second(x).relu())) for tried in self.tried]


def decibels(right: Sequence[Tensor], found: Sequence[Tensor]) -> list[float]:
    """Signal to noise of each of several tensors."""
    return [
        float(10 * torch.log10(a.square().sum() / (a - b).square().sum()))
        for a, b in zip(right, found, strict=True)
    ]
