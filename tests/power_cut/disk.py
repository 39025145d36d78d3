"""A disk that may lose power: what POSIX lets be left of what was done on it.

The model is that of ALICE (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014),
without what any one file system promises beyond POSIX. What was done to a file's content or to a
folder's entries is safe once that file or that folder has been synced, and not before. Of the rest
any part may be left, in any order: an entry without its content, content without its entry. A
rename within a folder is one change; one between folders is two, and either may be lost.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

WAYS = ("all", "none", "half", "zeros")
"""What may be left of content that was not synced; 'zeros' has its size and nothing else of it."""
PARENT = 0
"""The name of the folder that the recorded one lies in, so that this itself may be lost."""
ROOT = "root"


@dataclass
class Node:
    """A file, a folder or a link."""

    kind: str
    entries: dict[str, int] = field(default_factory=dict)
    content: bytes = b""
    target: str = ""


@dataclass(frozen=True)
class Change:
    """A folder's new entries (None: gone), or a file's content: `write` at `at`, or cut there."""

    node: int
    entries: tuple[tuple[str, int | None], ...] = ()
    at: int = 0
    write: bytes | None = None


Nodes = dict[int, Node]


@dataclass(frozen=True)
class Cut:
    """A state that a power cut after so many changes may leave."""

    place: int
    nodes: Nodes

    def lay_out(self, folder: Path) -> None:
        """Write it to `folder`, which is not there yet."""
        root = self.nodes[PARENT].entries.get(ROOT)
        if root is not None:
            self._lay_out(root, folder)

    def _lay_out(self, number: int, path: Path) -> None:
        node = self.nodes[number]
        if node.kind == "folder":
            path.mkdir()
            for name, entry in node.entries.items():
                self._lay_out(entry, path / name)
        elif node.kind == "link":
            path.symlink_to(node.target)
        else:
            path.write_bytes(node.content)

    def twice(self) -> bool:
        """Whether anything is there under two names, which on a FAT card share its clusters."""
        numbers = [entry for node in self.nodes.values() for entry in node.entries.values()]
        return len(numbers) > len(set(numbers))

    def shown(self, number: int = PARENT) -> object:
        """What can be found there: equal for equal states."""
        node = self.nodes[number]
        inner = sorted((name, self.shown(entry)) for name, entry in node.entries.items())
        return node.kind, node.content, node.target, tuple(inner)


class Disk:
    def __init__(self, root: Path) -> None:
        """What lies below `root` now is safe."""
        self._root = os.path.realpath(root)
        self._nodes: Nodes = {PARENT: Node("folder")}
        if root.exists():
            self._nodes[PARENT].entries[ROOT] = self._read(root)
        self._first = _copied(self._nodes)
        self._positions: dict[int, int] = {}
        self._synced: list[tuple[int, int | None]] = []
        """After so many changes, which node; None: all."""
        self.changes: list[Change] = []

    def inside(self, path: str) -> str | None:
        """The path below the root, '' for itself, '..' for its parent; None: it lies elsewhere."""
        path = os.path.normpath(path)
        if path == str(Path(self._root).parent):
            return ".."
        if path == self._root:
            return ""
        return path[len(self._root) + 1 :] if path.startswith(f"{self._root}/") else None

    def open(self, path: str, *, creates: bool, truncates: bool) -> None:
        folder, name = self._folder(path)
        if name not in self._nodes[folder].entries and creates:
            self._enter(folder, (name, self._new(Node("file"))))
        elif truncates:
            self.truncate(path, 0)
        self.seek(path, 0)

    def seek(self, path: str, position: int) -> None:
        self._positions[self._find(path)] = position

    def write(self, path: str, content: bytes) -> None:
        node = self._find(path)
        at = self._positions[node]
        self._change(Change(node, at=at, write=content))
        self._positions[node] = at + len(content)

    def truncate(self, path: str, size: int) -> None:
        self._change(Change(self._find(path), at=size))

    def make_folder(self, path: str) -> None:
        folder, name = self._folder(path)
        self._enter(folder, (name, self._new(Node("folder"))))

    def link(self, path: str, target: str) -> None:
        folder, name = self._folder(path)
        self._enter(folder, (name, self._new(Node("link", target=target))))

    def remove(self, path: str) -> None:
        folder, name = self._folder(path)
        self._enter(folder, (name, None))

    def rename(self, source: str, target: str) -> None:
        (old, old_name), (new, new_name) = self._folder(source), self._folder(target)
        node = self._nodes[old].entries[old_name]
        if old == new:
            self._enter(old, (old_name, None), (new_name, node))
        else:
            self._enter(new, (new_name, node))
            self._enter(old, (old_name, None))

    def sync(self, path: str) -> None:
        self._synced.append((len(self.changes), self._find(path)))

    def sync_all(self) -> None:
        self._synced.append((len(self.changes), None))

    def cuts(self, most: int, seed: int) -> Iterator[Cut]:
        """Different states, at most so many of each place; those of the last place are all there,
        since what was done by then has been promised.
        """
        seen: set[object] = set()
        last = len(self.changes)
        for place in range(last + 1):
            here: set[object] = set()
            for ways in self._choices(place, most, Random(f"{seed} {place}")):
                cut = Cut(place, self._replayed(ways))
                shown = cut.shown()
                if shown in here or (place < last and shown in seen):
                    continue
                here.add(shown)
                yield cut
            seen |= here

    def _choices(self, place: int, most: int, chance: Random) -> Iterator[tuple[str, ...]]:
        """What is left of each of the changes before a place."""
        done = range(place)
        pending = [number for number in done if not self._is_safe(number, place)]
        entries = [number for number in pending if self.changes[number].entries]
        files = sorted({self.changes[number].node for number in pending} - {
            self.changes[number].node for number in entries
        })  # fmt: skip
        ways = [WAYS[:2]] * len(entries) + [WAYS] * len(files)

        def chosen(way: tuple[str, ...]) -> tuple[str, ...]:
            of_entry = dict(zip(entries, way, strict=False))
            of_file = dict(zip(files, way[len(entries) :], strict=True))
            left = dict.fromkeys(done, "all") | of_entry
            for number in set(pending) - set(entries):
                left[number] = of_file[self.changes[number].node]
            return tuple(left.values())

        count = 2 ** len(entries) * len(WAYS) ** len(files)
        if count <= most:
            yield from map(chosen, itertools.product(*ways))
            return
        yield chosen(tuple(way[0] for way in ways))
        yield chosen(tuple(way[1] for way in ways))
        for _ in range(most - 2):
            yield chosen(tuple(chance.choice(way) for way in ways))

    def _is_safe(self, number: int, place: int) -> bool:
        node = self.changes[number].node
        return any(number < after <= place and at in (None, node) for after, at in self._synced)

    def _replayed(self, ways: tuple[str, ...]) -> Nodes:
        nodes = _copied(self._first)
        for number, node in self._nodes.items():
            # What was made since then is empty until its changes are played.
            nodes.setdefault(number, Node(node.kind, target=node.target))
        for change, way in zip(self.changes, ways, strict=False):
            _apply(nodes, change, way)
        return nodes

    def _enter(self, folder: int, *entries: tuple[str, int | None]) -> None:
        self._change(Change(folder, entries))

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        _apply(self._nodes, change, "all")

    def _new(self, node: Node) -> int:
        number = len(self._nodes)
        self._nodes[number] = node
        return number

    def _read(self, path: Path) -> int:
        if path.is_symlink():
            return self._new(Node("link", target=str(path.readlink())))
        if not path.is_dir():
            return self._new(Node("file", content=path.read_bytes()))
        number = self._new(Node("folder"))
        self._nodes[number].entries |= {each.name: self._read(each) for each in path.iterdir()}
        return number

    def _folder(self, path: str) -> tuple[int, str]:
        if not path:
            return PARENT, ROOT
        folder, _, name = path.rpartition("/")
        return self._find(folder), name

    def _find(self, path: str) -> int:
        if path == "..":
            return PARENT
        node = self._nodes[PARENT].entries[ROOT]
        for name in path.split("/") if path else ():
            node = self._nodes[node].entries[name]
        return node


def _copied(nodes: Nodes) -> Nodes:
    return {number: replace(node, entries=dict(node.entries)) for number, node in nodes.items()}


def _apply(nodes: Nodes, change: Change, way: str) -> None:
    node = nodes[change.node]
    if way == "none":
        return
    for name, entry in change.entries:
        if entry is None:
            node.entries.pop(name, None)
        else:
            node.entries[name] = entry
    if change.entries:
        return
    if change.write is None:
        node.content = node.content[: change.at].ljust(change.at, b"\0")
        return
    content = change.write
    if way == "half":
        content = content[: len(content) // 2]
    elif way == "zeros":
        content = bytes(len(content))
    before, end = node.content.ljust(change.at, b"\0"), change.at + len(content)
    node.content = before[: change.at] + content + before[end:]
