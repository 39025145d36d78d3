"""The digest of what is in memory: the same for the same, another for whatever could matter."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.task.content import content_of, content_of_each

SCALE = 0.5


def helper(x: Tensor) -> Tensor:
    return further(x) if len(x) > 99 else x * SCALE


def further(x: Tensor) -> Tensor:
    return helper(x)  # A circle, which must end.


@functools.lru_cache
def kept(x: int) -> float:
    return x * SCALE


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.steps = 1
        self.drop = nn.Dropout(0.1)
        self.act = lambda x: x * SCALE
        self.options = {"sizes": [1, 2]}

    @staticmethod
    def shift() -> int:
        return 1

    @property
    def name(self) -> str:
        return "net"

    def forward(self, x: Tensor) -> Tensor:
        return self.act(helper(self.conv(x))) * self.steps


@pytest.fixture
def net() -> Net:
    return Net().eval()


def test_the_same_is_the_same(net: Net) -> None:
    assert content_of(net) == content_of(net) == content_of(copy.deepcopy(net))


CHANGES: dict[str, Callable[[Net], object]] = {
    "weight": lambda net: net.conv.weight.data.flatten()[0].add_(1e-6),
    "attribute": lambda net: setattr(net, "steps", 2),
    "attribute of a part": lambda net: setattr(net.drop, "p", 0.2),
    "inside a container": lambda net: net.options["sizes"].append(3),
    "mode": lambda net: net.train(),
    "hook": lambda net: net.register_forward_hook(lambda *_: None),
    "lambda": lambda net: setattr(net, "act", lambda x: x / SCALE),
    "gradient": lambda net: net.conv.weight.requires_grad_(False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(net: Net, name: str) -> None:
    before = content_of(net)
    CHANGES[name](net)
    assert content_of(net) != before


CODE: dict[str, tuple[str, object]] = {
    "constant": ("SCALE", 0.25),
    "function": ("helper", lambda x: x),
    "function of a function": ("further", lambda x: x + 1),
}


@pytest.mark.parametrize("name", CODE)
def test_what_code_names_is_seen(net: Net, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_of(net)
    monkeypatch.setitem(globals(), *CODE[name])
    assert content_of(net) != before
    monkeypatch.undo()
    assert content_of(net) == before


@pytest.mark.parametrize("method", ["forward", "shift", "name"])
def test_a_method_that_was_written_anew_is_seen(
    net: Net, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(net)
    made = {"shift": staticmethod(lambda: 2), "name": property(lambda self: "other")}
    monkeypatch.setattr(Net, method, made.get(method, lambda self, x: x))
    assert content_of(net) != before


def test_a_class_that_was_defined_anew_is_known_by_its_code() -> None:
    def cell(body: str) -> str:
        space = {"nn": nn}
        exec(f"class C(nn.Module):\n    def forward(self, x): {body}\nmade = C()", space)  # noqa: S102
        return content_of(space["made"])

    assert cell("return x + 1") == cell("return x + 1")
    assert cell("return x + 1") != cell("return x + 2")


def test_functions_behind_others(monkeypatch: pytest.MonkeyPatch) -> None:
    partial = functools.partial(helper, 1)
    before = content_of(kept), content_of(partial)
    monkeypatch.setitem(globals(), "SCALE", 0.1)
    after = content_of(kept), content_of(partial)
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_what_nobody_can_look_into_is_never_the_same() -> None:
    with Path(__file__).open() as file:
        for closed in (file, (i for i in range(3)), SimpleNamespace(inner=file)):
            first, second = content_of(closed), content_of(closed)
            assert first != second
            assert first.startswith("unknown-")


def test_libraries_go_by_name() -> None:
    assert content_of(functional.cross_entropy) == content_of(functional.cross_entropy)
    assert content_of(nn.CrossEntropyLoss()) == content_of(nn.CrossEntropyLoss())
    weighted = nn.CrossEntropyLoss(weight=torch.ones(3))
    assert content_of(weighted) != content_of(nn.CrossEntropyLoss())


def test_batches() -> None:
    x, y = torch.rand(4, 2), torch.arange(4)
    same = content_of_each([(x, y), (x, {"boxes": [y]})])
    assert same == content_of_each([(x.clone(), y.clone()), (x, {"boxes": [y]})])
    assert same != content_of_each([(x, {"boxes": [y]}), (x, y)])
    assert same != content_of_each([(x, y), (x, {"boxes": [y.int()]})])
    assert same != content_of_each([(x, y)])
