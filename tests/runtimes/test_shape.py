"""What is known of a runtime lies in its folder: nobody else says its name, no other runtime does.

A runtime's name may stand in a comment or a message; here it must not be a value that code compares
with, looks up or passes on.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgecompress
from edgecompress.runtimes import RUNTIMES, formats, modules, runtime
from edgecompress.runtimes.base import Runtime
from edgecompress.spec.load import list_targets

PACKAGE = Path(edgecompress.__file__).parent
ROOT = PACKAGE.parent
FOLDERS = [path.parent.name for path in sorted((PACKAGE / "runtimes").glob("*/__init__.py"))]
SOURCES = [*PACKAGE.rglob("*.py"), *(ROOT / "devices").rglob("*.py")]
OWN = (PACKAGE / "runtimes", ROOT / "devices" / "agent", PACKAGE / "vendor")
"""Where a runtime may be called by its name: its folder, the agent's table, its vendor's tools."""


def statements(path: Path) -> Iterator[ast.AST]:
    yield from ast.walk(ast.parse(path.read_text()))


def names_in(node: ast.AST) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    } & set(RUNTIMES)


def test_every_folder_is_a_row_of_the_table() -> None:
    assert sorted(RUNTIMES) == FOLDERS
    for name in RUNTIMES:
        known = runtime(name)
        assert isinstance(known, Runtime)
        assert known.name == name
        assert runtime(known.runner_here).name == known.runner_here
        assert known.section.model_fields["name"].annotation.__args__ == (name,)  # type: ignore[union-attr]


def test_nobody_else_compares_with_a_name() -> None:
    told = []
    for path in SOURCES:
        if any(path.is_relative_to(own) for own in OWN):
            continue
        for node in statements(path):
            choices: list[ast.AST] = []
            if isinstance(node, ast.Compare):
                choices = [node]
            elif isinstance(node, ast.Dict):
                choices = [key for key in node.keys if key is not None]
            elif isinstance(node, ast.match_case):
                choices = [node.pattern]
            elif isinstance(node, ast.Subscript):
                choices = [node.slice]
            told += [f"{path}:{node.lineno}" for each in choices if names_in(each)]  # type: ignore[attr-defined]
    assert not told


@pytest.mark.parametrize("name", RUNTIMES)
def test_no_runtime_imports_another(name: str) -> None:
    others = {f"edgecompress.runtimes.{other}" for other in RUNTIMES if other != name}
    for path in (PACKAGE / "runtimes" / name).rglob("*.py"):
        for node in statements(path):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                imported = {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
            elif isinstance(node, ast.Import):
                imported = {each.name for each in node.names}
            else:
                continue
            assert not any(each.startswith(other) for each in imported for other in others), path


@pytest.mark.parametrize("room", ["compress", "formats"])
def test_what_lies_below_knows_no_runtime(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        assert "edgecompress.runtimes" not in path.read_text(), path


def test_tables_follow_from_the_rows() -> None:
    assert {target.runtime.name for target in list_targets()} == set(RUNTIMES)
    assert modules()["numpy"] == "numpy"
    for name in RUNTIMES:
        known = runtime(name)
        assert known.format.name in formats()
        assert all(modules()[each.name] == each.module for each in known.needs.packages)
    suffixes = [format.suffix for format, _ in formats().values()]
    assert len(set(suffixes)) == len(suffixes)
