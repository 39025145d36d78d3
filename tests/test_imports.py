"""The package's modules stand on one another in one direction only, within a room too."""

import ast
from collections.abc import Iterator
from pathlib import Path

from circles import circle

PACKAGE = Path(__file__).parents[1] / "edgecompress"
LAZY = ("edgecompress", "edgecompress.pipeline")
"""Their functions import what does the work when they are called; who needs a version or an order
asks the modules themselves.
"""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of the package, imported at the top or in a function; not those for type checkers,
    which may look both ways.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module in FILES:
            inner = (f"{node.module}.{each.name}" for each in node.names)
            yield from {name if name in FILES else node.module for name in inner}
        yield from imported(node)


def test_a_circle_is_seen_and_a_diamond_is_none() -> None:
    assert circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_nothing_needs_what_needs_it() -> None:
    graph = {name: set(imported(ast.parse(path.read_text()))) for name, path in FILES.items()}
    assert "edgecompress.pipeline.trials" in graph["edgecompress.pipeline.keeping"]
    assert circle({name: needs for name, needs in graph.items() if name not in LAZY}) == []
