"""The user's modules, compiled from their sources whenever they are imported.

Python takes bytecode for that of a source of the same size and the same second, so that what runs
would not always be what lies there and is hashed.
"""

import importlib
import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType

from edgecompress.task.opened import is_library

_is_active = False


class SourceLoader(SourceFileLoader):
    """Neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)


def from_sources(*, active: bool) -> None:
    """From here on, compile whatever is imported that is no library's; or do so no longer."""
    global _is_active
    _is_active = active
    if _finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _finder)
    for path in list(sys.path_importer_cache):
        if not is_library(path):
            del sys.path_importer_cache[path]
    importlib.invalidate_caches()


def forget_modules() -> None:
    """Let what was imported so be imported anew: its files may have changed since."""
    for name, module in list(sys.modules.items()):
        if isinstance(getattr(getattr(module, "__spec__", None), "loader", None), SourceLoader):
            _forget(name)


def _forget(name: str) -> None:
    """A module, and the packages that it is an attribute of, of which some have no source."""
    while name:
        sys.modules.pop(name, None)
        name = name.rpartition(".")[0]


def _finder(path: str) -> FileFinder:
    if not _is_active or is_library(path) or not os.path.isdir(path):
        raise ImportError("only for what is the user's, while a deploy watches it", path=path)
    return FileFinder(path, *_LOADERS)
