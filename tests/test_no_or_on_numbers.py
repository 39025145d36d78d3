"""`x or 1.0` takes 0 for nothing said: a share of 0 % once passed for 100 %. 0 is a number."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    path
    for folder in ("edgecompress", "devices", "benchmarks", "examples", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)
NUMBERS = {
    "agreed", "agreement", "batch", "bits", "budget", "count", "deadline", "difference", "drop",
    "epochs", "fraction", "high", "iterations", "latency", "limit", "low", "number", "ratio",
    "samples", "scale", "seed", "size", "speedup", "steps", "temperature", "threads", "threshold",
    "timeout", "tolerance", "value", "zero", "point",
    # Units.
    "bytes", "ms", "s", "mw", "mj", "mhz", "mib",
}  # fmt: skip
"""Last words of the names of numbers."""
OTHERS = {"dim.value", "epochs", "latency"}
"""Named like numbers, and are none: text of a dimension; rows of epochs; all of a run's times."""


def misused(tree: ast.AST) -> Iterator[ast.BoolOp]:
    """Every `or` that falls back to a number, or from what is called like one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.BoolOp) or not isinstance(node.op, ast.Or):
            continue
        *before, last = node.values
        if any(map(_is_number, node.values)) or (
            any(map(_is_called_so, before)) and not isinstance(last, ast.Compare | ast.BoolOp)
        ):
            yield node


def _is_number(node: ast.expr) -> bool:
    literal = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(literal, ast.Constant) and type(literal.value) in (int, float)


def _is_called_so(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        node = node.func
    if ast.unparse(node) in OTHERS:
        return False
    name = {ast.Name: "id", ast.Attribute: "attr"}.get(type(node))
    return name is not None and getattr(node, name).split("_")[-1] in NUMBERS


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("(parity.top1_agreement or 1.0) < MIN_TOP1", 1),
        ("scale = info.scale or default", 1),
        ("timeout_s = given or -1", 1),
        ("rows = fixed_batch(file) or rows", 1),
        ("threads if threads is not None else 1", 0),
        ("name = given or 'none'", 0),
        ("done = not steps or steps[0] > 1", 0),
    ],
)
def test_what_is_found(source: str, found: int) -> None:
    assert len(list(misused(ast.parse(source)))) == found


def test_no_number_is_read_as_a_truth_value() -> None:
    assert len(FILES) > 200
    lines = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path in FILES
        for node in misused(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert lines == []
