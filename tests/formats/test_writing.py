"""Writes into tensors that are read later, in the files of two runtimes."""

from pathlib import Path

import torch
from litert_files import quantised
from quantizing import batch, built
from writing import Writing, X, decibels

NEAR_DB = 20.0
NAMES = [
    "slice +=",
    "column = 0",
    "relu_ after a view",
    "out= an operand",
    "copy_",
    "a list of indices",
    "a loop",
    "empty, every second",
    "unbind",
    "inside of an image",
]


def test_in_an_onnx_file(tmp_path: Path) -> None:
    model = Writing(0, NAMES).eval()
    file = built(model, (X[:1],), tmp_path)
    x = batch((X[:1],), 4, seed=7)
    with torch.no_grad():
        found = decibels(model(*x), [torch.from_numpy(y) for y in file.run(x)])
    assert {name: db for name, db in zip(NAMES, found, strict=True) if not db > NEAR_DB} == {}


def test_in_a_tflite_file(tmp_path: Path) -> None:
    names = ["slice +=", "column = 0", "copy_", "a loop", "unbind", "swapped"]
    model = Writing(0, names).eval()
    file = quantised(model, (X[:1],), tmp_path)
    x = batch((X[:1],), 1, seed=7)
    with torch.no_grad():
        found = decibels(model(*x), [torch.from_numpy(y) for y in file.run(x)])
    assert {name: db for name, db in zip(names, found, strict=True) if not db > NEAR_DB} == {}
