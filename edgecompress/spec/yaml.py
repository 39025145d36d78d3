"""YAML, read strictly: what a person wrote is what the program sees, or it is refused.

PyYAML speaks YAML 1.1, where `no` is False, `1e-3` is a string, `010` is 8, `12:30` is 750, the
last of two equal keys wins, and a few lines of aliases expand to gigabytes. Here PyYAML only
builds the tree of nodes; plain scalars mean what YAML 1.2's core schema says, and what is
ambiguous is an error with file and line.
"""

import math
import re
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent, Event
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from edgecompress.errors import SpecError
from edgecompress.spec.words import OFF, Words

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]

_DEEPEST = 50
_WORDS = {"y", "n", "yes", "no", "on", "off"}
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_REAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_OCTAL_LOOK = re.compile(r"[-+]?0[0-9]+")
_PLAIN_TAGS = {
    ScalarNode: "tag:yaml.org,2002:str",
    SequenceNode: "tag:yaml.org,2002:seq",
    MappingNode: "tag:yaml.org,2002:map",
}


def load_yaml(path: Path, words: Words = MappingProxyType({})) -> dict[str, Value]:
    """The keys of a YAML file of one document.

    Args:
        path: of the file.
        words: by key, what `off` behind it stands for; elsewhere the word is refused.

    Raises:
        SpecError: 'file: line N: ...' for whatever is not plain, unambiguous YAML.

    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SpecError(f"{path}: is a folder; name the YAML file inside it") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecError(f"{path}: line {line}: not UTF-8 text; save it as UTF-8") from None
    except ValueError:
        raise SpecError(f"{path}: not a file name") from None
    try:
        return _document(text, words)
    except _Refusal as refusal:
        raise SpecError(f"{path}: {refusal}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SpecError(f"{path}: line {line}: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise SpecError(f"{path}: line {line}: control character in the text") from None


class _Refusal(Exception):
    """'line N: ...', from this module rather than PyYAML."""


def _refuse(where: Node | Event, problem: str) -> NoReturn:
    line = where.start_mark.line + 1 if where.start_mark else 1
    raise _Refusal(f"line {line}: {problem}")


class _Loader(yaml.BaseLoader):
    """Refuses what could grow without bound while the tree is built."""

    _depth = 0

    def get_event(self) -> Event:
        # types-pyyaml has no types for it.
        event: Event = super().get_event()  # type: ignore[no-untyped-call]
        start, end = (
            isinstance(event, kind) for kind in (CollectionStartEvent, CollectionEndEvent)
        )
        self._depth += start - end
        if self._depth > _DEEPEST:
            _refuse(event, f"nested more than {_DEEPEST} deep")
        # Aliases are how a small file grows without bound, and no spec needs one.
        if getattr(event, "anchor", None) is not None:
            _refuse(
                event,
                "anchors and aliases (& and *) are not supported; write the value out,"
                " or put it in quotes if it is text",
            )
        return event


def _document(text: str, words: Words) -> dict[str, Value]:
    root = yaml.compose(text, Loader=_Loader)
    if root is None or (root.value == "" and _is_plain(root)):
        raise _Refusal("line 1: the file is empty")
    if not isinstance(root, MappingNode):
        _refuse(root, "expected keys at the top level, like 'name: value'")
    return _mapping(root, words)


def _value(node: Node, words: Words) -> Value:
    if node.tag != _PLAIN_TAGS[type(node)]:
        _refuse(node, f"tags such as {node.tag!r} are not supported; remove it")
    if isinstance(node, MappingNode):
        return _mapping(node, words)
    if isinstance(node, SequenceNode):
        return [_value(item, words) for item in node.value]
    return _scalar(node.value, node)


def _mapping(node: MappingNode, words: Words) -> dict[str, Value]:
    result: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key = _value(key_node, words)
        if not isinstance(key, str):
            shown = key_node.value if isinstance(key_node, ScalarNode) else "a list or mapping"
            _refuse(key_node, f"key {shown} is not text; put it in quotes")
        if key == "<<" and _is_plain(key_node):
            _refuse(key_node, "merge keys (<<) are not supported; write the keys out")
        if key in result:
            _refuse(
                key_node,
                f"key '{key}' is given twice, first on line {lines[key]}; remove one",
            )
        lines[key] = key_node.start_mark.line + 1
        is_off = _is_plain(value_node) and value_node.value == OFF and key in words
        result[key] = words[key] if is_off else _value(value_node, words)
    return result


def _scalar(text: str, node: Node) -> Value:
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse(node, "half of a surrogate pair; write the character itself")
    if not _is_plain(node):
        return text
    if text.lower() in _WORDS:
        _refuse(
            node,
            f"'{text}' could be text or a truth value; quote it, or write true or false",
        )
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _OCTAL_LOOK.fullmatch(text):
        _refuse(node, f"{text} begins with 0; quote it if it is text, or drop the 0")
    if _REAL.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            _refuse(node, f"{text} is too large a number")
        return number
    return text


def _is_plain(node: Node) -> bool:
    """Neither quoted nor a block, which are always text."""
    return isinstance(node, ScalarNode) and node.style is None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's wording, made into advice where it is known to puzzle."""
    problem = error.problem or error.context or "not valid YAML"
    if "'\\t'" in problem:
        return "a tab is used for indentation; use spaces"
    if "found another document" in problem:
        return "a second document (---) begins; keep one per file"
    if "mapping values are not allowed" in problem:
        return "a second ': ' on the line; quote the value, or mend the indentation"
    if "expected <block end>" in problem or "could not find expected ':'" in problem:
        return "the indentation, or a missing ':', does not fit the lines above"
    return f"not valid YAML: {problem}"
