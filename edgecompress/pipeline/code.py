"""The code that a stage's result comes from: modules of edgecompress, and versions of libraries.

Found in the sources, so that nobody keeps a list: a stage begins at the function that does its
work, and depends on every module in which something lies that is named there, directly or through
what is named by it; imports inside functions count, those for type checkers alone do not. Modules
are parsed when they are reached, and once. What was found holds as long as no source changes, so
that another process may `recall` what one had to `dump`.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from edgecompress.packages import version_of

_OURS = "edgecompress"
_PACKAGE = Path(__file__).parents[1]
_ROOMS = (
    "errors",
    "progress",
    "progress_live",
    "bundled",
    "packages",
    "spec",
    "store",
    "transport",
)
_MODULES = ("pipeline.stages", "pipeline.code")
_CUT = frozenset(f"{_OURS}.{name}" for name in (*_ROOMS, *_MODULES))
"""Not followed: what keeps, carries or tells results and does not make them; and specs, because
what they say is in a key by value.
"""
_TABLES = frozenset({(f"{_OURS}.runtimes", "RUNTIMES"), (f"{_OURS}.runtimes", "runtime")})
"""Not followed either: from names to implementations, of which a stage names the one it takes."""
_NO_MATTER = ("pydantic", "typing_extensions")


@dataclass(frozen=True)
class Code:
    """What one stage runs."""

    modules: tuple[str, ...]
    libraries: tuple[str, ...]

    def describe(self) -> dict[str, dict[str, str]]:
        """Digests of the sources and versions of the libraries, for a key."""
        return {
            "modules": {name: _digests()[name] for name in self.modules},
            "libraries": self.versions(),
        }

    def versions(self) -> dict[str, str]:
        return {name: version_of(name) or "absent" for name in self.libraries}


def code_of(work: Callable[..., object], also: Iterable[str] = ()) -> Code:
    """What `work` runs.

    Args:
        work: a function of edgecompress, or one made inside of such a function.
        also: what it is given and calls, as 'package.module:name'; and names of distributions that
            run outside of this process.

    """
    entries = (entry(work), *also)
    if entries not in _found:
        _found[entries] = _reached(entries)
    return _found[entries]


_found: dict[tuple[str, ...], Code] = {}
"""What was asked for in this process, and what was recalled."""


def recall(content: bytes) -> None:
    """Take over what `dump` gave in another process, if the sources are those that it was found
    in; anything else is forgotten.
    """
    kept = json.loads(content)
    if kept.get("sources") != _digests():
        return
    for entries, modules, libraries in kept["found"]:
        _found.setdefault(tuple(entries), Code(tuple(modules), tuple(libraries)))


def dump() -> bytes:
    """What was found, for `recall`."""
    found = [[entries, code.modules, code.libraries] for entries, code in sorted(_found.items())]
    return json.dumps({"sources": _digests(), "found": found}).encode()


def entry(work: Callable[..., object]) -> str:
    """'module:name' of a function, class or method; of what is made inside of a function, that of
    the outermost.
    """
    return f"{work.__module__}:{work.__qualname__.partition('.<locals>')[0]}"


def _reached(entries: tuple[str, ...]) -> Code:
    todo = [_split(entry) for entry in entries if ":" in entry]
    libraries = {entry for entry in entries if ":" not in entry}
    seen: set[tuple[str, str]] = set()
    while todo:
        named = todo.pop()
        module, name = named
        if named in seen or named in _TABLES or _is_cut(module):
            continue
        seen.add(named)
        if module.partition(".")[0] == _OURS:
            todo += _parsed(module).named_by(name)
        elif module.partition(".")[0] not in (*sys.stdlib_module_names, *_NO_MATTER):
            libraries.add(module.partition(".")[0])
    modules = {module for module, _ in seen if module.partition(".")[0] == _OURS}
    return Code(
        tuple(sorted(modules)), tuple(sorted({name.replace("_", "-") for name in libraries}))
    )


def _split(entry: str) -> tuple[str, str]:
    module, _, name = entry.partition(":")
    return module, name


def _is_cut(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:end]) in _CUT for end in (2, 3))


class _Module:
    """The source of a module of ours."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._content = path.read_bytes()
        self._named_by: dict[str, tuple[tuple[str, str], ...]] = {}

    def named_by(self, name: str) -> tuple[tuple[str, str], ...]:
        """What is named where `name` is defined, and by what runs whenever the module is imported;
        an empty name: by all of it.
        """
        # Stages have most of their code in common.
        if name not in self._named_by:
            self._named_by[name] = tuple(dict.fromkeys(self._found_by(name)))
        return self._named_by[name]

    def _found_by(self, name: str) -> Iterator[tuple[str, str]]:
        yield from self._at_import
        if not name:
            for other in self._defined:
                yield self.name, other
        elif name in self._defined or name in self._methods:
            for node in self._defined.get(name) or self._methods[name]:
                yield from self._named_in(node)
        elif name in self._imported:
            yield self._imported[name]
        elif _is_module(f"{self.name}.{name}"):
            yield f"{self.name}.{name}", ""

    @cached_property
    def _statements(self) -> list[ast.stmt]:
        """Those of the top level, with those under `if` and `try`."""
        statements: list[ast.stmt] = []
        todo: list[ast.stmt] = list(ast.parse(self._content).body)
        while todo:
            node = todo.pop()
            if isinstance(node, ast.If):
                if "TYPE_CHECKING" not in ast.unparse(node.test):
                    todo += node.body + node.orelse
            elif isinstance(node, ast.Try):
                todo += node.body + node.orelse + [s for h in node.handlers for s in h.body]
            else:
                statements.append(node)
        return statements

    @cached_property
    def _defined(self) -> dict[str, list[ast.stmt]]:
        """Name -> the statements that define it."""
        statements: dict[str, list[ast.stmt]] = {}
        for node in self._statements:
            for name in _names_of(node):
                statements.setdefault(name, []).append(node)
        return statements

    @cached_property
    def _methods(self) -> dict[str, list[ast.stmt]]:
        """'Class.name' -> the statements that define it."""
        statements: dict[str, list[ast.stmt]] = {}
        for node in self._statements:
            if not isinstance(node, ast.ClassDef):
                continue
            for member in node.body:
                for name in _names_of(member):
                    statements.setdefault(f"{node.name}.{name}", []).append(member)
        return statements

    @cached_property
    def _at_import(self) -> list[tuple[str, str]]:
        loose = [
            node
            for node in self._statements
            if not isinstance(node, (ast.Import, ast.ImportFrom)) and not any(_names_of(node))
        ]
        return [found for node in loose for found in self._named_in(node)]

    def _named_in(self, node: ast.stmt) -> Iterator[tuple[str, str]]:
        inner = list(ast.walk(node))
        local = dict(binding for each in inner for binding in _bindings(each))
        # Of a module of ours what is named of it is followed, and not all of it.
        yield from (target for target in local.values() if not _is_ours(target))
        modules = {**self._imported, **local}
        bases = set()
        for each in inner:
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
                target = modules.get(each.value.id)
                if target is None:
                    continue
                if _is_ours(target):
                    bases.add(each.value)
                if _is_ours(target) or not target[0].startswith(_OURS):
                    yield ".".join(filter(None, target)), each.attr
        for each in inner:
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each not in bases:
                yield from self._binding(each.id, local)

    def _binding(self, name: str, local: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
        if name in local:
            yield local[name]
        elif name in self._imported:
            yield self._imported[name]
        elif name in self._defined:
            yield self.name, name

    @cached_property
    def _imported(self) -> dict[str, tuple[str, str]]:
        return dict(binding for node in self._statements for binding in _bindings(node))


def _is_ours(target: tuple[str, str]) -> bool:
    """Whether what was imported is a module of edgecompress."""
    return target[0].startswith(_OURS) and _is_module(".".join(filter(None, target)))


def _bindings(node: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each name that an import binds, and the module and the name in it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], (alias.name, "")
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        for alias in node.names:
            yield alias.asname or alias.name, (node.module, alias.name)


def _names_of(node: ast.stmt) -> Iterator[str]:
    """What a statement of the top level defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))


@cache
def _digests() -> dict[str, str]:
    """sha256 of the source of each module of ours."""
    digests = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        parts = (_OURS, *path.relative_to(_PACKAGE).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


@cache
def _parsed(name: str) -> _Module:
    path = _path_of(name)
    assert path is not None, f"{name} is no module of {_OURS}"
    return _Module(name, path)


@cache
def _is_module(name: str) -> bool:
    return _path_of(name) is not None


def _path_of(name: str) -> Path | None:
    path = _PACKAGE.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
