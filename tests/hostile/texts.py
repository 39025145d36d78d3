"""Specs whose every text holds what a terminal obeys and a reader cannot see."""

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from hostile.mutate import ESCAPES
from pydantic import BaseModel

T = TypeVar("T")
MARKUP = "[bold red]b[/] [link=http://x]l[/link] :boom: <script>alert(1)</script>"
HOSTILE = f"{ESCAPES}{MARKUP}\ud800"
SEEN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\x00\r\x7f[red]\u202eevil\u2066\u200b\n" + MARKUP
"""What a reader shall see of it, but for the surrogate, which is no letter of HTML either."""


def hostile(value: T) -> T:
    """The same, with more behind every text that may be any."""
    found: Any = value
    if isinstance(value, BaseModel):
        found = value.model_copy(
            update={
                name: getattr(value, name) if _is_word(info.annotation) else hostile(old)
                for name, info in type(value).model_fields.items()
                for old in [getattr(value, name)]
            }
        )
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{f.name: hostile(getattr(value, f.name)) for f in fields(value)})
    elif isinstance(value, str):
        found = value + HOSTILE
    elif isinstance(value, (tuple, list)):
        found = type(value)(map(hostile, value))
    elif isinstance(value, dict):
        found = {hostile(key): hostile(item) for key, item in value.items()}
    return found  # type: ignore[no-any-return]


def _is_word(annotation: object) -> bool:
    """One of a few, which no device chooses freely."""
    return "Literal" in str(annotation)
