"""What must hold of a device's folder after a power cut, and after one more push."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from edgecompress.push import Manifest
from edgecompress.transport.files import Files

TEXT_BYTES = 64 << 10
HASH_S = 120.0
KEPT = {"current", "previous", "journal.json", "history.json", "device.json"}
FOLDERS = {"releases", "incoming", "locks", "work", "cache"}


@dataclass(frozen=True)
class Entry:
    link: str | None
    sha256: str | None
    """A plain file's, read from the disk."""
    text: str | None
    """What a small file holds."""


@dataclass(frozen=True)
class Expected:
    """Ids of the releases that may be active."""

    old: str | None
    new: str
    promised: bool = False
    """A push had said that the new one is active."""


class Tree:
    """Every file and link below a device's root, as it is on the disk."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    @classmethod
    def read(cls, files: Files, root: str) -> "Tree":
        return cls(dict(_entries(files, root, "")))

    def pointed(self, name: str) -> str | None:
        """The release that `current` or `previous` names, by a link or by what it holds."""
        entry = self.entries.get(name)
        if entry is None:
            return None
        return (entry.link or entry.text or "nothing").rpartition("/")[2].strip()

    def names(self, folder: str) -> set[str]:
        inner = f"{folder}/"
        return {path[len(inner) :] for path in self.entries if path.startswith(inner)}

    def damage(self, release: str) -> str | None:
        """What is wrong with a release; None when it is whole, byte for byte."""
        described = self.entries.get(f"releases/{release}/manifest.json")
        if described is None or described.text is None:
            return f"release {release} has no manifest"
        try:
            manifest = Manifest.model_validate_json(described.text)
        except ValidationError:
            return f"the manifest of release {release} cannot be read"
        model = self.entries.get(f"releases/{release}/{manifest.file}")
        if manifest.id != release:
            return f"release {release} has the manifest of another"
        if model is None:
            return f"release {release} has no model"
        if model.sha256 != manifest.sha256:
            return f"the model of release {release} is damaged"
        return None


def _entries(files: Files, root: str, folder: str) -> Iterator[tuple[str, Entry]]:
    for name, kind in files.entries(f"{root}/{folder}").items():
        path, there = f"{folder}{name}", f"{root}/{folder}{name}"
        if kind == "folder":
            yield path, Entry(None, None, None)
            yield from _entries(files, root, f"{path}/")
        elif kind == "link":
            yield path, Entry(files.read_link(there), None, None)
        else:
            content = files.read(there, TEXT_BYTES) or b""
            text = content.decode("utf-8", "replace") if len(content) < TEXT_BYTES else None
            yield path, Entry(None, files.sha256(there, timeout_s=HASH_S), text)


def after_cut(tree: Tree, expected: Expected) -> list[str]:
    """What does not hold when the device is on again and nobody has pushed yet."""
    found = []
    current, previous = tree.pointed("current"), tree.pointed("previous")
    if current not in (expected.old, expected.new):
        found.append(f"current names {current}, neither the old nor the new release")
    if expected.promised and current != expected.new:
        found.append(f"current names {current}, although a push had said success")
    for name, release in (("current", current), ("previous", previous)):
        damage = None if release is None else tree.damage(release)
        if damage:
            found.append(f"{name}: {damage}")
    return found


def after_push(tree: Tree, new: str) -> list[str]:
    """What does not hold after one more push of the new release."""
    found = after_cut(tree, Expected(new, new))
    releases = {name.partition("/")[0] for name in tree.names("releases")}
    needed = {tree.pointed("current"), tree.pointed("previous")} - {None}
    if releases != needed:
        found.append(f"releases/ holds {sorted(releases)}, and {sorted(map(str, needed))} are used")
    for folder in ("incoming", "work"):
        if names := tree.names(folder):
            found.append(f"{folder}/ still holds {sorted(names)}")
    top = {path.partition("/")[0] for path in tree.entries}
    if strange := top - KEPT - FOLDERS:
        found.append(f"left behind: {sorted(strange)}")
    if temporary := [path for path in tree.entries if ".new-" in path]:
        found.append(f"left behind: {temporary}")
    found += _locks(tree)
    journal = tree.entries.get("journal.json")
    if journal is None or '"state":"success"' not in (journal.text or ""):
        found.append("the journal does not say success")
    return found


def _locks(tree: Tree) -> list[str]:
    numbers = {name.partition("/")[0] for name in tree.names("locks")}
    if len(numbers) != 1:
        return [f"locks/ holds {sorted(numbers)}"]
    owner = tree.entries.get(f"locks/{numbers.pop()}/owner.json")
    if owner is None or '"released":true' not in (owner.text or ""):
        return ["the lock was not released"]
    return []
