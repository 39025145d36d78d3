"""Reading the request: every key is checked once, here."""

from __future__ import annotations

import json

from . import SCHEMA_VERSION
from .baton import Baton
from .failure import Failure


class Request:
    """One JSON object; a getter raises Failure naming the key when it is missing or wrong."""

    baton: Baton | None = None
    """How it takes turns with those that are measured beside it; None: there are none."""

    def __init__(self, text: bytes) -> None:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise Failure("input", f"the request is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise Failure("input", "the request is not a JSON object")
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            raise Failure(
                "input", f"schema_version is {version}; this agent speaks {SCHEMA_VERSION}"
            )
        self._document: dict[str, object] = document

    def text(self, key: str) -> str:
        value = self._document.get(key)
        if not isinstance(value, str) or not value:
            raise Failure("input", f"{key} must be a text that is not empty, got {value!r}")
        return value

    def texts(self, key: str) -> dict[str, str]:
        """Texts by name; none where the key is absent."""
        value = self._document.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(x, str) for x in value.values()):
            raise Failure("input", f"{key} must be texts by name, got {value!r}")
        return value

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        """One of `known`; the first where the key is absent."""
        value = self._document.get(key, known[0])
        if value not in known:
            raise Failure("input", f"{key} {value!r} is unknown; known: {', '.join(known)}")
        return str(value)

    def integer(self, key: str, minimum: int, otherwise: int | None = None) -> int:
        """`otherwise`: where the key is absent; None: it must not be."""
        value = self._document.get(key, otherwise)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise Failure("input", f"{key} must be an integer of at least {minimum}, got {value!r}")
        return value

    def number(self, key: str, otherwise: float | None = None) -> float:
        """`otherwise` as for an integer."""
        value = self._document.get(key, otherwise)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
            raise Failure("input", f"{key} must be a number of at least 0, got {value!r}")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self._document.get(key)
        if not isinstance(value, bool):
            raise Failure("input", f"{key} must be true or false, got {value!r}")
        return value

    def objects(self, key: str) -> list[dict[str, object]]:
        """At least one object."""
        value = self._document.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(x, dict) for x in value):
            raise Failure("input", f"{key} must be objects, at least one, got {value!r}")
        return value

    def has(self, key: str) -> bool:
        return key in self._document

    def shapes(self, key: str) -> dict[str, list[int]]:
        """Shapes by tensor name, every dimension fixed."""
        value = self._document.get(key)
        if not isinstance(value, dict) or not all(map(_is_shape, value.values())):
            raise Failure("input", f"{key} must be lists of integers of at least 1, got {value!r}")
        return value


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in value
    )
