"""Rules of the house that a reader of the sources can count on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("edgecompress", "devices", "benchmarks", "examples", "scripts")
MOST_ARGUMENTS = 5
MOST_LINES = 350


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """All but self and cls; `*rest` and `**rest` are one each."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [each.arg for each in (given.vararg, given.kwarg) if each is not None]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A command of typer, whose arguments are the options of the command line."""
    decorators = [ast.unparse(each) for each in function.decorator_list]
    return any(".command(" in each or ".callback(" in each for each in decorators)


def crowded(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_command(node):
            continue
        if len(names := arguments_of(node)) > MOST_ARGUMENTS:
            yield f"{node.lineno}: {node.name}({', '.join(names)})"


def documented(tree: ast.AST) -> Iterator[ast.Constant]:
    """Docstrings, and those of attributes and constants: a text that is a statement of its own."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text


def unfinished(tree: ast.AST) -> Iterator[str]:
    """Docstrings that begin in the middle of a sentence."""
    for text in documented(tree):
        first = str(text.value).strip().partition("\n")[0]
        if first.startswith(("Of ", "By ", "As of ")):
            yield f"{text.lineno}: {first}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(a, b, c, d, e): ...", 0),
        ("def f(a, b, c, d, *, e, f): ...", 1),
        ("def f(a, b, c, d, *e, **f): ...", 1),
        ("class A:\n    def f(self, a, b, c, d, e): ...", 0),
        ("async def f(a, b, c, d, e, f): ...", 1),
        ("@app.command()\ndef f(a, b, c, d, e, f): ...", 0),
    ],
)
def test_arguments_are_counted(source: str, found: int) -> None:
    assert len(list(crowded(ast.parse(source)))) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Of a module."""', 1),
        ('def f():\n    """By a function."""', 1),
        ('class A:\n    a: int\n    """Of an attribute."""', 1),
        ('A = 1\n"""\n    By a constant."""', 1),
        ('def f():\n    """What it does. Of course."""', 0),
        ('say("Of no docstring")', 0),
    ],
)
def test_docstrings_are_found(source: str, found: int) -> None:
    assert len(list(unfinished(ast.parse(source)))) == found


def test_what_takes_more_than_five_things_takes_an_object() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files(*SOURCES)
        for line in crowded(ast.parse(path.read_text()))
    ]
    assert found == []


def test_docstrings_are_whole_sentences_from_their_beginning() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files(*SOURCES, "tests")
        for line in unfinished(ast.parse(path.read_text()))
    ]
    assert found == []


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in files(*SOURCES, "tests")}
    assert {path.name: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}
