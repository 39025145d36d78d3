"""Reading the request: every key is checked once, here."""

from __future__ import annotations

import json

from . import SCHEMA_VERSION
from .failure import Failure


class Request:
    """One JSON object; a getter raises Failure naming the key when it is missing or wrong."""

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

    def integer(self, key: str, minimum: int) -> int:
        value = self._document.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise Failure("input", f"{key} must be an integer of at least {minimum}, got {value!r}")
        return value

    def number(self, key: str) -> float:
        value = self._document.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
            raise Failure("input", f"{key} must be a number of at least 0, got {value!r}")
        return float(value)
