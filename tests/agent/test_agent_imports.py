"""The agent's modules stand on one another in one direction only."""

import ast
from collections.abc import Iterator
from pathlib import Path

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


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One of the circles, as the names along it; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for other in sorted(graph.get(name, ())):
                if found := walk(other, [*way, name]):
                    return found
            done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in sorted(graph))), [])


def test_a_circle_is_seen_and_a_diamond_is_none() -> None:
    assert circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_imports_in_functions_count() -> None:
    source = (
        "from .files import x\nfrom . import infer, TABLE\ndef f():\n    from .probe import y\n"
    )
    assert list(imported(ast.parse(source))) == ["files", "infer", "probe"]


def test_nothing_of_the_agent_needs_what_needs_it() -> None:
    graph = {path.stem: set(imported(ast.parse(path.read_text()))) for path in AGENT.glob("*.py")}
    assert {"failure", "runners"} <= set().union(*graph.values()), "imports are not seen"
    assert circle(graph) == []
