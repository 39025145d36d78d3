"""What a command prints, and that no device's byte in it is obeyed."""

import io
import unicodedata
from collections.abc import Callable

from rich.console import Console

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of what a terminal obeys, or a reader cannot see."""


def printed(show: Callable[[Console], None], width: int = 100) -> str:
    """The text, as a command prints it where there is no terminal."""
    stream = io.StringIO()
    show(Console(file=stream, width=width, highlight=False, markup=False, emoji=False))
    text = stream.getvalue()
    assert_plain(text)
    return text


def assert_plain(text: str) -> None:
    """But for line breaks."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return
    found = {c for c in text if c != "\n" and unicodedata.category(c) in HIDDEN}
    assert not found, f"{found!r} in {text!r}"
