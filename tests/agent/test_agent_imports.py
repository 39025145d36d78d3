"""The agent's modules stand on one another in one direction only."""

import ast
from collections.abc import Iterator
from pathlib import Path

from circles import circle

AGENT = Path(__file__).parents[2] / "devices" / "agent"
NAMES = {path.stem for path in AGENT.glob("*.py")}


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of the agent, wherever in the source they are imported: at the top, in a function, or
    for a type checker.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names = [node.module] if node.module else [each.name for each in node.names]
            yield from (name for name in names if name in NAMES)


def test_imports_in_functions_count() -> None:
    source = (
        "from .files import x\nfrom . import infer, TABLE\ndef f():\n    from .probe import y\n"
    )
    assert list(imported(ast.parse(source))) == ["files", "infer", "probe"]


def test_nothing_of_the_agent_needs_what_needs_it() -> None:
    graph = {path.stem: set(imported(ast.parse(path.read_text()))) for path in AGENT.glob("*.py")}
    # The table imports its rows by their names.
    graph["runners"] |= {name for name in NAMES if name.startswith("runner_")}
    assert {"failure", "runners"} <= set().union(*graph.values()), "imports are not seen"
    assert circle(graph) == []
